-- title: Patients by the set of moves they contribute, for a covariance that knows whose moves belong together
-- grain: pattern, cell
-- source: reduction.panel_move, reduction.panel_cell
with placed as (
    select move.patient_id, cell.cell, count(*) as n_courses
    from reduction.panel_move as move
    inner join reduction.panel_cell as cell
        on move.stratum = cell.stratum and move.kind = cell.kind and move.from_state = cell.from_state
        and move.to_state = cell.to_state and move.start_day = cell.start_day and move.stop_day = cell.stop_day
        and move.unconfirmed = cell.unconfirmed and move.part = cell.part
    group by move.patient_id, cell.cell
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
