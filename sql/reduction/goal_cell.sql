-- title: Goals by stratum, kind, what was described, attainment and whether the change expected was reached
-- grain: stratum, domain, is_main, expected_case, attainment, reached
-- source: reduction.goal_course; sums of points are of goals for which both are known
select
    stratum, domain, is_main, expected_case, attainment,
    case when reached_points >= expected_points then 'yes' when reached_points < expected_points then 'no' end as reached,
    count(*) as n,
    coalesce(sum(expected_points) filter (where reached_points is not null), 0) as expected_total,
    coalesce(sum(reached_points) filter (where expected_points is not null), 0) as reached_total
from reduction.goal_course
group by all
