-- title: The state of each course of the cohort at each planned visit as shown, or why none is known
-- grain: course_id, planned_visit
-- source: reduction.panel_visit nearest to each target day within its window; reduction.panel_watch; course.course
-- Nothing is modelled; an unconfirmed last change counts as it was shown. ended, dead: by the target day. not_seen: the
-- window closed and nobody came in it. not_due: the data stop, or the next course begins, before it closes. Visits before
-- the evaluation is due are left out: no state can be told there.
with planned as (
    select
        watch.course_id, watch.patient_id, watch.stratum, watch.ended_as, watch.last_day,
        visit.planned_visit, visit.position, visit.target_day, visit.window_low_day, visit.window_high_day,
        least(date_diff('day', course.index_date, course.data_cut), coalesce(course.next_course_day, 100000)) as open_day
    from reduction.panel_watch as watch
    inner join course.course as course on watch.course_id = course.course_id
    inner join catalogue.programme_visit as visit on course.programme = visit.programme
    where visit.target_day <= 0 or visit.target_day >= course.evaluation_earliest_day - course.evaluation_tolerance_day
),

seen as (
    select
        planned.course_id, planned.planned_visit,
        min_by(coalesce(visit.open_state, visit.state), abs(visit.day - planned.target_day) * 10000 + visit.day) as state
    from planned
    inner join reduction.panel_visit as visit
        on planned.course_id = visit.course_id
        and visit.day between planned.window_low_day and planned.window_high_day
    group by planned.course_id, planned.planned_visit
)

select
    planned.course_id, planned.patient_id, planned.stratum, planned.planned_visit, planned.position, planned.target_day,
    case
        when planned.target_day <= 0 then 'no_response_yet'
        when planned.ended_as is not null and planned.last_day <= planned.target_day then planned.ended_as
        when seen.state is not null then seen.state
        when planned.open_day >= planned.window_high_day then 'not_seen'
        else 'not_due'
    end as state
from planned
left join seen on planned.course_id = seen.course_id and planned.planned_visit = seen.planned_visit
