-- title: Every change from baseline after treatment, on its actual day, under the policy of the question
-- grain: course_id, day
-- source: course.score; reduction.trajectory_course; endpoint.end_event, intercurrent; cohort.trajectory (one row)
-- Positive is improvement; no window is asked for. `hypothetical` keeps what was measured up to the day of the end event,
-- or of the first booster: a score of that day was taken before it. `treatment_policy` keeps all.
select
    course.course_id, course.patient_id, course.stratum, score.day,
    cast(case
        when question.unit = 'native' and scale.direction = 'higher_better' then score.value - course.baseline
        when question.unit = 'native' then course.baseline - score.value
        else course.baseline - score.worse100
    end as decimal(12, 4)) as change,
    course.baseline
from reduction.trajectory_course as course
cross join cohort.trajectory as question
inner join course.score as score on course.course_id = score.course_id and course.scale = score.scale
inner join catalogue.scale as scale on course.scale = scale.scale
left join endpoint.end_event as ending on course.course_id = ending.course_id
left join endpoint.intercurrent as booster on course.course_id = booster.course_id and booster.role = 'booster'
where
    course.reason is null
    and score.day > 0
    and case when question.unit = 'native' then score.value else score.worse100 end is not null
    and (question.end_policy = 'treatment_policy' or score.day <= coalesce(ending.day, 100000))
    and (question.booster_policy = 'treatment_policy' or score.day <= coalesce(booster.day, 100000))
