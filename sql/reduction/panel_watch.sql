-- title: Until when the end of each course of the cohort would have been known, and whether it ended by then
-- grain: course_id
-- source: endpoint.watch; cohort.course, cohort.question (one row)
-- By all visits, early ones too: they show who is still watched. A course without a visit is watched too: it can end.
-- The booster policy `censor` stops at the first booster.
with watched as (
    select
        cohort.course_id, cohort.patient_id, cohort.stratum, watch.end_role,
        case when question.booster_policy = 'censor' and watch.end_day > watch.booster_day then null
            else watch.end_day end as end_day,
        case when question.booster_policy = 'censor' and watch.booster_day < watch.watched_to_day
            then watch.booster_day else watch.watched_to_day end as watched_to_day
    from cohort.course as cohort
    cross join cohort.question as question
    inner join endpoint.watch as watch
        on cohort.course_id = watch.course_id and question.definition = watch.definition
        and question.confirmation = watch.confirmation and watch.early_visits = 'counted'
    inner join course.course as course on cohort.course_id = course.course_id
    where
        course.index_date is not null
        and exists (select 1 from course.baseline as baseline where baseline.course_id = cohort.course_id)
)

select
    course_id, patient_id, stratum, watched_to_day,
    case when end_day is not null and end_role = 'death' then 'dead' when end_day is not null then 'ended' end as ended_as,
    coalesce(end_day, watched_to_day) as last_day
from watched
where watched_to_day > 0 or end_day is not null
