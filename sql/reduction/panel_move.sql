-- title: The moves between states that the visits and ends of each course show
-- grain: course_id, start_day, from_state, to_state, kind, part
-- source: reduction.panel_visit, reduction.panel_watch
-- kind: visit (seen in to_state on stop_day), end (known to the day, the live state just before it is not known),
-- alive (in some live state on stop_day). Every course starts on day 0 without response. An unconfirmed last change to
-- a state makes two moves of which one is right: part `shown` if the change holds, part `before` if it does not.
with points as (
    select watch.course_id, watch.patient_id, watch.stratum, 0 as day, 'no_response_yet' as state,
        cast(null as varchar) as open_state
    from reduction.panel_watch as watch
    union all
    select visit.course_id, visit.patient_id, visit.stratum, visit.day, visit.state, visit.open_state
    from reduction.panel_visit as visit
    inner join reduction.panel_watch as watch on visit.course_id = watch.course_id
),

ordered as (
    select
        points.*,
        lag(day) over sequence as previous_day,
        lag(state) over sequence as previous_state,
        lead(day) over sequence is null as is_last
    from points
    window sequence as (partition by course_id order by day)
),

branched as (
    select course_id, patient_id, stratum, day, previous_day, previous_state, is_last, state,
        coalesce(open_state, '') as unconfirmed,
        case when open_state is null then 'whole' else 'before' end as part
    from ordered
    union all
    select course_id, patient_id, stratum, day, previous_day, previous_state, is_last, open_state, open_state, 'shown'
    from ordered
    where open_state is not null
),

moves as (
    select course_id, patient_id, stratum, previous_day as start_day, day as stop_day, previous_state as from_state,
        state as to_state, 'visit' as kind, unconfirmed, part
    from branched
    where previous_day is not null
    union all
    select branched.course_id, branched.patient_id, branched.stratum, branched.day, watch.last_day, branched.state,
        coalesce(watch.ended_as, 'alive'),
        case when watch.ended_as is null then 'alive' else 'end' end, branched.unconfirmed, branched.part
    from branched
    inner join reduction.panel_watch as watch on branched.course_id = watch.course_id
    where branched.is_last and (watch.last_day > branched.day or watch.ended_as is not null)
)

select course_id, patient_id, stratum, start_day, stop_day, from_state, to_state, kind, unconfirmed, part
from moves
