-- title: Courses seen in each state around each planned visit, as seen: nothing is modelled
-- grain: stratum, planned_visit, state, unconfirmed, part
-- source: reduction.panel_visit nearest to each target day within its window; reduction.panel_watch for those ended
-- An unconfirmed last change is counted twice, once as before and once as shown: see reduction.panel_move.
-- Biased where those who do not benefit stay away; ends are counted for as long as the course would have been watched.
with planned as (
    select watch.course_id, watch.stratum, watch.ended_as, watch.last_day, watch.watched_to_day,
        visit.planned_visit, visit.target_day, visit.window_low_day, visit.window_high_day
    from reduction.panel_watch as watch
    inner join course.course as course on watch.course_id = course.course_id
    inner join catalogue.programme_visit as visit on course.programme = visit.programme
    where visit.target_day > 0
),

seen as (
    select planned.course_id, planned.planned_visit,
        min_by(visit.state, abs(visit.day - planned.target_day) * 10000 + visit.day) as state,
        min_by(coalesce(visit.open_state, ''), abs(visit.day - planned.target_day) * 10000 + visit.day) as unconfirmed
    from planned
    inner join reduction.panel_visit as visit
        on planned.course_id = visit.course_id
        and visit.day between planned.window_low_day and planned.window_high_day
    group by planned.course_id, planned.planned_visit
),

placed as (
    select planned.stratum, planned.planned_visit, planned.target_day, seen.state, seen.unconfirmed,
        case when planned.ended_as is not null and planned.last_day <= planned.target_day
            and planned.watched_to_day >= planned.target_day
            then planned.ended_as end as end_state
    from planned
    left join seen on planned.course_id = seen.course_id and planned.planned_visit = seen.planned_visit
),

branched as (
    select stratum, planned_visit, target_day, end_state as state, '' as unconfirmed, 'whole' as part
    from placed where end_state is not null
    union all
    select stratum, planned_visit, target_day, state, unconfirmed,
        case when unconfirmed = '' then 'whole' else 'before' end
    from placed where end_state is null and state is not null
    union all
    select stratum, planned_visit, target_day, unconfirmed, unconfirmed, 'shown'
    from placed where end_state is null and unconfirmed <> ''
)

select stratum, planned_visit, min(target_day) as target_day, state, unconfirmed, part, count(*) as n
from branched
group by stratum, planned_visit, state, unconfirmed, part
