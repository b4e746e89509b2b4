-- title: Patients by the set of first adverse events, ends and last contacts they contribute, for a bootstrap of patients
-- grain: pattern, cell
-- source: reduction.harm_first, reduction.harm_first_cell
with placed as (
    select course.patient_id, cell.cell, count(*) as n_courses
    from reduction.harm_first as course
    inner join reduction.harm_first_cell as cell
        on course.stratum = cell.stratum and course.cause = cell.cause and course.day = cell.day
    group by course.patient_id, cell.cell
),

patterns as (
    select
        patient_id,
        string_agg(concat(cell, 'x', n_courses), ',' order by cell) as pattern
    from placed
    group by patient_id
),

counted as (
    select pattern, count(*) as n_patients, min(patient_id) as example
    from patterns
    group by pattern
)

select counted.pattern, placed.cell, placed.n_courses, counted.n_patients
from counted
inner join placed on counted.example = placed.patient_id
