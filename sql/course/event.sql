-- title: Events by day of each course they concern, with the role that the programme gives them
-- grain: course_id, event_id
-- source: staging.consent; record.event, catalogue.programme_event; an event of the whole patient concerns each of the patient's courses
-- renewed: whole; reads the data cut
-- Known to the month or year only, it counts on the last day it can have happened: whoever was seen before was well.
with placed as (
    select
        event.id as event_id, event.patient_id, event.target_id, event.kind, event.date_precision,
        case event.date_precision
            when 'year' then last_day(event.date + interval 11 month)
            when 'month' then last_day(event.date)
            else event.date
        end as last_date
    from record.event as event
    inner join staging.consent as consent on event.patient_id = consent.patient_id
    where event.date <= coalesce(consent.until_date, event.date)
),

dated as (
    select
        course.course_id, course.programme, course.next_course_day, placed.event_id, placed.kind, placed.date_precision,
        date_diff('day', course.index_date, least(placed.last_date, course.data_cut)) as day
    from placed
    inner join course.course as course
        on placed.patient_id = course.patient_id and coalesce(placed.target_id, course.target_id) = course.target_id
)

select dated.course_id, dated.event_id, dated.day, dated.kind, kinds.role, dated.date_precision
from dated
left join catalogue.programme_event as kinds on dated.programme = kinds.programme and dated.kind = kinds.kind
where dated.day >= 0 and dated.day <= coalesce(dated.next_course_day, 100000)
