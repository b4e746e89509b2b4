-- title: What ended the target's own course: replacement, death, or another treatment in its place
-- grain: course_id
-- source: course.event; the first of them on its exact day, of two on one day the replacement
select
    course_id, day, role, kind, date_precision,
    'event' as source_table,
    event_id as source_id
from course.event
where role in ('end', 'death', 'switch')
qualify row_number() over (
    partition by course_id
    order by day, case role when 'end' then 1 when 'switch' then 2 else 3 end, event_id
) = 1
