-- title: Counts of first adverse events, ends before one and last contacts by day
-- grain: cell
-- source: reduction.harm_first
select
    row_number() over (order by stratum, cause, day) as cell,
    stratum, cause, day,
    count(*) as n
from reduction.harm_first
group by stratum, cause, day
