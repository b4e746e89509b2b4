-- title: Patients alike in stratum and state of all their courses at all visits, with their number
-- grain: pattern, stratum, position, in_response
-- source: reduction.state_visit; estimating equations clustered by patient need nothing else
-- n_courses: of one patient in this cell (two knees); n_patients: how many patients have the pattern.
with seen as (
    select patient_id, stratum, position, in_response, count(*) as n_courses
    from reduction.state_visit
    where in_response is not null
    group by patient_id, stratum, position, in_response
),

patterns as (
    select
        patient_id,
        string_agg(
            concat(stratum, '/', cast(position as varchar), '/', cast(in_response as varchar), '/', cast(n_courses as varchar)),
            ' ' order by stratum, position, in_response
        ) as pattern
    from seen
    group by patient_id
),

counted as (
    select pattern, min(patient_id) as one_of_them, count(*) as n_patients
    from patterns
    group by pattern
)

select
    dense_rank() over (order by counted.pattern) as pattern,
    seen.stratum, seen.position, seen.in_response, seen.n_courses, counted.n_patients
from counted
inner join seen on counted.one_of_them = seen.patient_id
