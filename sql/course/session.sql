-- title: Treatment sessions by day of their course
-- grain: session_id
-- source: staging.consent; record.treatment_session
-- A booster is a later session meant as one, or a session beyond the planned series given after evaluation was due.
with first_session as (
    select course_id, min(date) as index_date
    from record.treatment_session
    group by course_id
),

dated as (
    select
        session.id as session_id, session.course_id, session.target_id, session.patient_id, session.session_no,
        session.date, session.intent, session.product_id, session.route, session.guidance,
        session.dose_viable_million, first_session.index_date,
        date_diff('day', first_session.index_date, session.date) as day,
        coalesce(course.planned_sessions, 1) as planned_sessions,
        coalesce(course.evaluation_earliest_day, programme.evaluation_earliest_day) as evaluation_earliest_day
    from record.treatment_session as session
    inner join first_session on session.course_id = first_session.course_id
    inner join record.course as course on session.course_id = course.id
    inner join catalogue.programme as programme on course.programme = programme.programme
    inner join staging.consent as consent on session.patient_id = consent.patient_id
    where session.date <= coalesce(consent.until_date, session.date)
)

select
    session_id, course_id, target_id, patient_id, session_no, date, index_date, day, intent, product_id, route, guidance,
    dose_viable_million,
    case
        when day = 0 then 'initial'
        when intent like 'booster%' then 'booster'
        when intent like 'retreatment%' then 'retreatment'
        when session_no > planned_sessions and day > evaluation_earliest_day then 'booster'
        else 'planned'
    end as role
from dated
