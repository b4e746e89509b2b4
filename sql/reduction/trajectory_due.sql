-- title: How many courses were due and seen at each planned visit
-- grain: stratum, position
-- source: reduction.trajectory_pattern, which says who was due; cohort.trajectory_visit
with counted as (
    select stratum, visits_due, visits_seen, n
    from reduction.trajectory_pattern
    where position = 0
)

select
    counted.stratum, visit.position,
    cast(sum(case when visits_due % power(2, visit.position + 1) >= power(2, visit.position) then n else 0 end) as bigint) as n_due,
    cast(sum(case when visits_seen % power(2, visit.position + 1) >= power(2, visit.position) then n else 0 end) as bigint) as n_seen
from counted
cross join cohort.trajectory_visit as visit
group by counted.stratum, visit.position
