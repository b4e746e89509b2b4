-- title: Scores after treatment, each at the planned visit in whose window it falls
-- grain: course_id, scale, day
-- source: course.score, catalogue.programme_visit; choice 1 is the value of the visit: nearest to its day, then the earlier
-- A score that two windows hold belongs to the visit whose day is nearer, so that no score counts twice.
with scores as (
    select
        course.programme, score.course_id, score.scale, score.day, score.value, score.worse100, score.source_table,
        score.source_id
    from course.score as score
    inner join course.course as course on score.course_id = course.course_id
    where score.day > 0
),

days as (
    select distinct programme, day
    from scores
),

-- To which visit a day belongs is the same for every course of a programme.
nearest as (
    select
        days.programme, days.day, planned.planned_visit, planned.position, planned.target_day,
        abs(days.day - planned.target_day) as distance_day
    from days
    inner join catalogue.programme_visit as planned
        on days.programme = planned.programme and days.day between planned.window_low_day and planned.window_high_day
    where planned.target_day > 0
    qualify row_number() over (
        partition by days.programme, days.day order by abs(days.day - planned.target_day), planned.position
    ) = 1
)

select
    scores.course_id, scores.scale, scores.day, nearest.planned_visit, nearest.position, nearest.target_day,
    nearest.distance_day, scores.value, scores.worse100, scores.source_table, scores.source_id,
    row_number() over (
        partition by scores.course_id, scores.scale, nearest.planned_visit order by nearest.distance_day, scores.day
    ) as choice
from scores
inner join nearest on scores.programme = nearest.programme and scores.day = nearest.day
