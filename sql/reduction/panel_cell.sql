-- title: Counts of distinct moves between states
-- grain: cell
-- source: reduction.panel_move; with reduction.panel_agreement the likelihood of the cohort depends on nothing else
select
    row_number() over (
        order by stratum, kind, from_state, to_state, start_day, stop_day, unconfirmed, part
    ) as cell,
    stratum, kind, from_state, to_state, start_day, stop_day, unconfirmed, part,
    count(*) as n
from reduction.panel_move
group by stratum, kind, from_state, to_state, start_day, stop_day, unconfirmed, part
