-- title: Courses by state at a planned visit and at the next one
-- grain: stratum, position, state, next_state
-- source: reduction.panel_planned; next_state is last_visit at the last planned visit
with followed as (
    select
        stratum, position, planned_visit, target_day, state,
        coalesce(lead(state) over (partition by course_id order by position), 'last_visit') as next_state
    from reduction.panel_planned
)

select
    stratum, position, min(planned_visit) as planned_visit, min(target_day) as target_day, state, next_state,
    count(*) as n
from followed
group by stratum, position, state, next_state
