-- title: The response interval of each course of the cohort under the policy of the question
-- grain: course_id
-- source: endpoint.response, endpoint.watch; reduction.policy_stop; cohort.course, cohort.question (one row)
-- kind: response in (left_day, right_day]; end on right_day without response; else censored, without response up to
-- left_day and without an end up to right_day. A response met at the last visit before the end counts although the end
-- kept it from being confirmed.
-- end_policy: `competing` keeps the end as its own event, `censor` stops at the last assessment.
-- Where a policy stops a course before its response or end, it stops at the last assessment up to that day, or ends there.
with chosen as (
    select
        cohort.course_id, cohort.patient_id, cohort.stratum, coalesce(response.left_day, 0) as left_day,
        case
            when response.status = 'unconfirmed' and watch.end_day is not null then response.last_assessed_day
            else response.right_day
        end as right_day,
        watch.end_day, watch.watched_to_day, question.end_policy,
        case when stop.stop_as = 'censored' or stop.stop_day <= watch.watched_to_day then stop.stop_day end as stop_day,
        stop.stop_as = 'ended' and question.end_policy = 'competing' as stop_ends
    from cohort.course as cohort
    inner join cohort.question as question on true
    inner join endpoint.response as response
        on cohort.course_id = response.course_id and question.definition = response.definition
        and question.confirmation = response.confirmation and question.early_visits = response.early_visits
    inner join endpoint.watch as watch
        on response.course_id = watch.course_id and response.definition = watch.definition
        and response.confirmation = watch.confirmation and response.early_visits = watch.early_visits
    left join reduction.policy_stop as stop on cohort.course_id = stop.course_id
    where response.status <> 'not_assessed' or (question.end_policy = 'competing' and watch.end_day is not null)
),

before_stop as (
    select assessment.course_id, max(assessment.day) as last_day
    from endpoint.assessment as assessment
    inner join chosen on assessment.course_id = chosen.course_id
    inner join course.course as course on assessment.course_id = course.course_id
    inner join cohort.question as question on assessment.definition = question.definition
    where
        assessment.met is not null and assessment.day <= chosen.stop_day
        and (
            question.early_visits = 'counted'
            or assessment.day >= course.evaluation_earliest_day - course.evaluation_tolerance_day
        )
    group by assessment.course_id
),

judged as (
    select
        chosen.course_id, chosen.patient_id, chosen.stratum, chosen.left_day, chosen.right_day, chosen.end_policy,
        chosen.end_day, chosen.watched_to_day, chosen.stop_day, chosen.stop_ends,
        least(chosen.left_day, coalesce(before_stop.last_day, 0)) as cut_day,
        coalesce(chosen.stop_day < coalesce(chosen.right_day, chosen.end_day, 100000), false) as stopped
    from chosen
    left join before_stop on chosen.course_id = before_stop.course_id
)

select
    course_id, patient_id, stratum,
    case
        when stopped and stop_ends then 'end'
        when stopped then 'censored'
        when right_day is not null then 'response'
        when end_day is not null and end_policy = 'competing' then 'end'
        else 'censored'
    end as kind,
    case when stopped then cut_day else left_day end as left_day,
    case
        when stopped and stop_ends then stop_day
        when stopped then cut_day
        when right_day is not null then right_day
        when end_policy = 'censor' then left_day
        else coalesce(end_day, watched_to_day)
    end as right_day
from judged
