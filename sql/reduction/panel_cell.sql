-- title: Counts of distinct moves between states
-- grain: cell
-- source: reduction.panel_move; the likelihood of the cohort depends on nothing else
select
    row_number() over (order by stratum, kind, from_state, to_state, start_day, stop_day) as cell,
    stratum, kind, from_state, to_state, start_day, stop_day,
    count(*) as n_moves,
    sum(weight) as n
from reduction.panel_move
group by stratum, kind, from_state, to_state, start_day, stop_day
