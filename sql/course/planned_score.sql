-- title: Scores after treatment, each at the planned visit in whose window it falls
-- grain: course_id, scale, day
-- source: course.score, catalogue.programme_visit; choice 1 is the value of the visit: nearest to its day, then the earlier
-- A score that two windows hold belongs to the visit whose day is nearer, so that no score counts twice.
with placed as (
    select
        score.course_id, score.scale, score.day, planned.planned_visit, planned.position, planned.target_day,
        score.value, score.worse100, score.source_table, score.source_id,
        abs(score.day - planned.target_day) as distance_day
    from course.score as score
    inner join course.course as course on score.course_id = course.course_id
    inner join catalogue.programme_visit as planned
        on course.programme = planned.programme
        and score.day between planned.window_low_day and planned.window_high_day
    where score.day > 0 and planned.target_day > 0
    qualify row_number() over (
        partition by score.course_id, score.scale, score.day
        order by abs(score.day - planned.target_day), planned.position
    ) = 1
)

select
    course_id, scale, day, planned_visit, position, target_day, distance_day, value, worse100, source_table, source_id,
    row_number() over (partition by course_id, scale, planned_visit order by distance_day, day) as choice
from placed
