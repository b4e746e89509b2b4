-- title: Decisions by day of the course they concern
-- grain: decision_id
-- source: record.decision; course.course; a decision on the day of the next course belongs to that one
select
    decision.id as decision_id, course.course_id, course.patient_id,
    date_diff('day', course.index_date, decision.date) as day,
    decision.decision, decision.trigger, decision.state_at_decision, decision.deciding_factor, decision.cost_barrier
from record.decision as decision
inner join course.course as course on decision.target_id = course.target_id
inner join staging.consent as consent on decision.patient_id = consent.patient_id
where
    decision.date <= coalesce(consent.until_date, decision.date)
    and decision.date >= course.index_date
    and date_diff('day', course.index_date, decision.date) < coalesce(course.next_course_day, 100000)
