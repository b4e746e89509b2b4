-- title: Sessions, time watched and adverse events asked about of each course of the cohort
-- grain: course_id
-- source: cohort.course; reduction.harm_event; course.session, follow_up
-- Watched to the last contact: an event nobody was there to tell of is not known not to have happened.
with counted as (
    select
        course_id, sum(n) as n_events, coalesce(sum(n) filter (where watched), 0) as n_watched_events
    from reduction.harm_event
    group by course_id
),

sessions as (
    select course_id, count(*) as n_sessions
    from course.session
    group by course_id
)

select
    cohort.course_id, cohort.patient_id, cohort.stratum, sessions.n_sessions,
    greatest(coalesce(follow_up.last_contact_day, 0), 1) as watched_day,
    cast(coalesce(counted.n_events, 0) as bigint) as n_events,
    cast(coalesce(counted.n_watched_events, 0) as bigint) as n_watched_events
from cohort.course as cohort
inner join sessions on cohort.course_id = sessions.course_id
inner join course.follow_up as follow_up on cohort.course_id = follow_up.course_id
left join counted on cohort.course_id = counted.course_id
