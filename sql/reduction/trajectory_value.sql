-- title: Change from baseline of each course at each planned visit under the policy of the question
-- grain: course_id, position
-- source: course.planned_score; reduction.trajectory_course; endpoint.end_event, intercurrent; cohort.trajectory, trajectory_visit
-- Positive is improvement. `hypothetical` keeps what was measured up to the day of the end event, or of the first booster:
-- a score of that day was taken before it. `treatment_policy` keeps all. Then the nearest score in the window is taken.
with held as (
    select
        course.course_id, visit.position, score.choice, score.day, score.source_id,
        case when question.unit = 'native' then score.value else score.worse100 end as value,
        course.baseline,
        case when question.unit = 'native' and scale.direction = 'higher_better' then 1 else -1 end as sign
    from reduction.trajectory_course as course
    cross join cohort.trajectory as question
    inner join course.planned_score as score on course.course_id = score.course_id and course.scale = score.scale
    inner join cohort.trajectory_visit as visit on score.planned_visit = visit.planned_visit
    inner join catalogue.scale as scale on course.scale = scale.scale
    left join endpoint.end_event as ending on course.course_id = ending.course_id
    left join endpoint.intercurrent as booster on course.course_id = booster.course_id and booster.role = 'booster'
    where
        course.reason is null
        and (question.end_policy = 'treatment_policy' or score.day <= coalesce(ending.day, 100000))
        and (question.booster_policy = 'treatment_policy' or score.day <= coalesce(booster.day, 100000))
)

select
    course_id, position, day, source_id,
    cast(sign * (value - baseline) as decimal(12, 4)) as change
from held
where value is not null
qualify row_number() over (partition by course_id, position order by choice) = 1
