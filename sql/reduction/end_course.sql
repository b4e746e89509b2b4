-- title: When and how each course of the cohort ended, or was last heard of
-- grain: course_id
-- source: endpoint.end_event on exact days; course.follow_up; cohort.course
-- cause: end (the programme's end event), death, switch (another treatment in its place), or censored at last contact.
select
    cohort.course_id, cohort.patient_id, cohort.stratum,
    coalesce(ending.role, 'censored') as cause,
    coalesce(ending.day, follow_up.last_contact_day) as day
from cohort.course as cohort
inner join course.course as course on cohort.course_id = course.course_id
inner join course.follow_up as follow_up on cohort.course_id = follow_up.course_id
left join endpoint.end_event as ending on cohort.course_id = ending.course_id
where
    course.index_date is not null
    and (ending.day is not null or follow_up.last_contact_day > 0)
