-- title: The first booster, rescue and stop of each course
-- grain: course_id, role
-- source: course.session, course.event
with happenings as (
    select course_id, role, day, intent as kind, 'treatment_session' as source_table, session_id as source_id
    from course.session
    where role in ('booster', 'retreatment')
    union all
    select course_id, role, day, kind, 'event' as source_table, event_id as source_id
    from course.event
    where role in ('rescue', 'stop', 'switch')
)

select
    course_id, role, day, kind,
    count(*) over (partition by course_id, role) as n,
    source_table, source_id
from happenings
qualify row_number() over (partition by course_id, role order by day, source_id) = 1
