-- title: The response interval of each course of the cohort under the policy of the question
-- grain: course_id
-- source: endpoint.response; cohort.course (course_id, patient_id, stratum); cohort.question (one row)
-- kind: response in (left_day, right_day]; end at right_day without response; else censored at left_day.
-- Policy for the end of the target: `competing` keeps it as its own event, `censor` stops at the last assessment.
-- Policy for a booster before response: `treatment_policy` ignores it, `censor` stops at the last assessment before it.
with chosen as (
    select
        cohort.course_id, cohort.patient_id, cohort.stratum, response.left_day, response.right_day, response.status,
        response.end_day, response.booster_day, question.end_policy, question.booster_policy
    from cohort.course as cohort
    inner join endpoint.response as response on cohort.course_id = response.course_id
    inner join cohort.question as question
        on response.definition = question.definition and response.confirmation = question.confirmation
        and response.early_visits = question.early_visits
    where response.status <> 'not_assessed' or (question.end_policy = 'competing' and response.end_day is not null)
),

before_booster as (
    select assessment.course_id, max(assessment.day) as last_day
    from endpoint.assessment as assessment
    inner join chosen on assessment.course_id = chosen.course_id
    inner join course.course as course on assessment.course_id = course.course_id
    inner join cohort.question as question on assessment.definition = question.definition
    where
        assessment.met is not null and assessment.day <= chosen.booster_day
        and (
            question.early_visits = 'counted'
            or assessment.day >= course.evaluation_earliest_day - course.evaluation_tolerance_day
        )
    group by assessment.course_id
),

judged as (
    select
        chosen.course_id, chosen.patient_id, chosen.stratum, chosen.left_day, chosen.right_day, chosen.end_day,
        chosen.end_policy, coalesce(before_booster.last_day, 0) as censor_day,
        chosen.booster_policy = 'censor' and chosen.booster_day is not null
        and (chosen.right_day is null or chosen.right_day > chosen.booster_day)
        and (chosen.end_day is null or chosen.end_day > chosen.booster_day) as cut_at_booster
    from chosen
    left join before_booster on chosen.course_id = before_booster.course_id
)

select
    course_id, patient_id, stratum,
    case
        when cut_at_booster then 'censored'
        when right_day is not null then 'response'
        when end_day is not null and end_policy = 'competing' then 'end'
        else 'censored'
    end as kind,
    case when cut_at_booster then least(coalesce(left_day, 0), censor_day) else coalesce(left_day, 0) end as left_day,
    case
        when cut_at_booster then least(coalesce(left_day, 0), censor_day)
        when right_day is not null then right_day
        when end_day is not null and end_policy = 'competing' then end_day
        else coalesce(left_day, 0)
    end as right_day
from judged
