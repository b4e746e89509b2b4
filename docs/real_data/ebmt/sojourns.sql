-- Counts of stays by state: 0 transplanted, 1 platelets recovered, 2 relapsed or dead; days from the transplant.
with recovery as (
    select course_id, min(day) as day
    from course.event
    where kind = 'platelet_recovery'
    group by course_id
),

dated as (
    select
        course.course_id, recovery.day as recovery_day, ending.day is not null as ended,
        coalesce(ending.day, follow_up.last_contact_day) as last_day
    from course.course as course
    inner join course.follow_up as follow_up on course.course_id = follow_up.course_id
    left join recovery on course.course_id = recovery.course_id
    left join endpoint.end_event as ending on course.course_id = ending.course_id
),

stays as (
    select 0 as origin, 1 as target, 0 as start, recovery_day as stop
    from dated
    where recovery_day is not null
    union all
    select 0, if(ended, 2, 0), 0, last_day
    from dated
    where recovery_day is null
    union all
    select 1, if(ended, 2, 1), recovery_day, last_day
    from dated
    where recovery_day is not null
)

select origin, target, start, stop, count(*) as n
from stays
group by origin, target, start, stop
order by origin, target, start, stop
