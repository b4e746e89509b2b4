-- title: How many changes of state the next visit could confirm, and how many it did
-- grain: stratum, shown_state
-- source: reduction.panel_visit
-- Nobody can confirm what the last visit shows. It is neither believed nor dropped (dropping the changes and keeping
-- the rest would hide every late loss): it counts with the share of such changes that a next visit did confirm, of the
-- same stratum when it has ten of them, else of the cohort, else as shown (mean score, Reilly & Pepe 1995).
select
    stratum, shown_state,
    count(agreed) as n,
    count(case when agreed then 1 end) as n_agreed
from reduction.panel_visit
where shown_state is not null
group by stratum, shown_state
