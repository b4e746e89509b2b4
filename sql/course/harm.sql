-- title: Adverse events by day of the course they concern
-- grain: course_id, adverse_event_id
-- source: record.adverse_event, course.course; one of the whole patient belongs to the course that had begun last
-- An event of a target belongs to the last course of that target that had begun; before any treatment, to none.
with placed as (
    select
        harm.id as adverse_event_id, course.course_id,
        date_diff('day', course.index_date, harm.onset_date) as day,
        harm.category, harm.ctcae_grade, harm.serious,
        harm.related_product, harm.related_procedure, harm.related_harvest,
        course.index_date
    from record.adverse_event as harm
    inner join course.course as course
        on harm.patient_id = course.patient_id and coalesce(harm.target_id, course.target_id) = course.target_id
    inner join staging.consent as consent on harm.patient_id = consent.patient_id
    where harm.onset_date >= course.index_date and harm.onset_date <= coalesce(consent.until_date, harm.onset_date)
)

select
    course_id, adverse_event_id, day, category, ctcae_grade, serious, related_product, related_procedure, related_harvest
from placed
qualify row_number() over (partition by adverse_event_id order by index_date desc, course_id) = 1
