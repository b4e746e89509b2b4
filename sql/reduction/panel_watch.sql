-- title: Until when the end of each course of the cohort would have been known, and whether it ended by then
-- grain: course_id
-- source: endpoint.watch; reduction.policy_stop; cohort.course, cohort.question (one row)
-- By all visits, early ones too: they show who is still watched. A course without a visit is watched too: it can end.
-- A policy of the question may stop a course sooner, or take what stops it for its end.
with watched as (
    select
        cohort.course_id, cohort.patient_id, cohort.stratum, watch.end_role, watch.end_day, watch.watched_to_day,
        case when stop.stop_as = 'ended' and stop.stop_day <= watch.watched_to_day then stop.stop_day end as failed_day,
        case when stop.stop_as = 'censored' then stop.stop_day end as stop_day
    from cohort.course as cohort
    cross join cohort.question as question
    inner join endpoint.watch as watch
        on cohort.course_id = watch.course_id and question.definition = watch.definition
        and question.confirmation = watch.confirmation and watch.early_visits = 'counted'
    inner join course.course as course on cohort.course_id = course.course_id
    left join reduction.policy_stop as stop on cohort.course_id = stop.course_id
    where
        course.index_date is not null
        and exists (select 1 from course.baseline as baseline where baseline.course_id = cohort.course_id)
),

stopped as (
    select
        course_id, patient_id, stratum,
        case when failed_day < coalesce(end_day, 100000) then 'end' else end_role end as end_role,
        case when end_day > coalesce(stop_day, end_day) then null else least(end_day, failed_day) end as end_day,
        least(watched_to_day, stop_day) as watched_to_day
    from watched
)

select
    course_id, patient_id, stratum, watched_to_day,
    case when end_day is not null and end_role = 'death' then 'dead' when end_day is not null then 'ended' end as ended_as,
    coalesce(end_day, watched_to_day) as last_day
from stopped
where watched_to_day > 0 or end_day is not null
