-- title: Counts of distinct response intervals
-- grain: cell
-- source: reduction.response_course; the likelihood of the cohort depends on nothing else
select
    row_number() over (order by stratum, kind, left_day, right_day) as cell,
    stratum, kind, left_day, right_day,
    count(*) as n
from reduction.response_course
group by stratum, kind, left_day, right_day
