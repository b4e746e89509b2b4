-- title: Counts of ends by day and cause
-- grain: cell
-- source: reduction.end_course
select
    row_number() over (order by stratum, cause, day) as cell,
    stratum, cause, day,
    count(*) as n
from reduction.end_course
group by stratum, cause, day
