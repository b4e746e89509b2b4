-- title: Courses in time: first session, end of the planned series, next course, data cut
-- grain: course_id
-- source: staging.consent; record.course, course.session, log.load
-- renewed: whole; reads the data cut
with sessions as (
    select
        course_id,
        min(index_date) as index_date,
        min(session_id) filter (where day = 0) as index_session_id,
        max(day) filter (where role in ('initial', 'planned')) as last_planned_session_day,
        count(*) filter (where role in ('initial', 'planned')) as n_planned_sessions,
        count(*) filter (where role = 'booster') as n_boosters
    from course.session
    group by course_id
),

-- Where no centre is recorded, the latest extraction of all speaks.
overall as (
    select max(extracted_on) as data_cut
    from log.load
),

dated as (
    select
        course.id as course_id, course.patient_id, course.target_id, course.course_no, course.programme,
        sessions.index_date, sessions.index_session_id, sessions.last_planned_session_day,
        sessions.n_planned_sessions, sessions.n_boosters,
        -- Who withdrew consent for future data is watched to that day.
        least(
            coalesce(own.data_cut, overall.data_cut),
            coalesce(consent.until_date, own.data_cut, overall.data_cut)
        ) as data_cut,
        coalesce(course.evaluation_earliest_day, programme.evaluation_earliest_day) as evaluation_earliest_day,
        programme.evaluation_tolerance_day, programme.evaluation_latest_day,
        min(sessions.index_date) over (
            partition by course.target_id order by course.course_no rows between 1 following and unbounded following
        ) as next_course_date
    from record.course as course
    inner join catalogue.programme as programme on course.programme = programme.programme
    left join sessions on course.id = sessions.course_id
    left join record.patient as patient on course.patient_id = patient.id
    left join staging.consent as consent on course.patient_id = consent.patient_id
    left join staging.data_cut as own on patient.centre_id = own.centre_id
    cross join overall
)

select
    course_id, patient_id, target_id, course_no, programme, index_date, index_session_id, last_planned_session_day,
    n_planned_sessions, n_boosters, data_cut, evaluation_earliest_day, evaluation_tolerance_day, evaluation_latest_day,
    date_diff('day', index_date, next_course_date) as next_course_day,
    date_diff('day', index_date, least(data_cut, coalesce(next_course_date, data_cut))) as potential_follow_up_day
from dated
