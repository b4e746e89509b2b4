-- title: Adverse events by CTCAE grade and relation, of those asked about, and the courses that had one
-- grain: stratum, grade, relation
-- source: reduction.harm_asked; course.session; cohort.course
-- `any` is every grade, or every relation; a course counts once in each. Beside the counts what their limits need, sums over
-- patients: squares of events and of courses with one, and these times the patient's sessions and courses.
with treated as (
    select cohort.course_id, cohort.patient_id, cohort.stratum, count(*) as n_sessions
    from cohort.course as cohort
    inner join course.session as session on cohort.course_id = session.course_id
    group by cohort.course_id, cohort.patient_id, cohort.stratum
),

patient as (
    select patient_id, stratum, sum(n_sessions) as n_sessions, count(*) as n_courses
    from treated
    group by patient_id, stratum
),

told as (
    select treated.stratum, treated.patient_id, harm.course_id, cast(harm.grade as varchar) as grade, harm.relation
    from reduction.harm_asked as harm
    inner join treated on harm.course_id = treated.course_id
),

every_grade as (
    select stratum, patient_id, course_id, grade, relation
    from told
    union all
    select stratum, patient_id, course_id, 'any' as grade, relation
    from told
),

every_relation as (
    select stratum, patient_id, course_id, grade, relation
    from every_grade
    union all
    select stratum, patient_id, course_id, grade, 'any' as relation
    from every_grade
),

counted as (
    select stratum, patient_id, grade, relation, count(*) as n_events, count(distinct course_id) as n_courses
    from every_relation
    group by stratum, patient_id, grade, relation
)

select
    counted.stratum, counted.grade, counted.relation,
    cast(sum(counted.n_events) as bigint) as n_events, cast(sum(counted.n_courses) as bigint) as n_courses,
    cast(sum(counted.n_events * counted.n_events) as bigint) as events_squared,
    cast(sum(counted.n_events * patient.n_sessions) as bigint) as events_by_sessions,
    cast(sum(counted.n_courses * counted.n_courses) as bigint) as courses_squared,
    cast(sum(counted.n_courses * patient.n_courses) as bigint) as courses_by_courses
from counted
inner join patient on counted.patient_id = patient.patient_id and counted.stratum = patient.stratum
group by counted.stratum, counted.grade, counted.relation
