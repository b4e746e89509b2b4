-- title: Follow-up due by planned visit: courses seen, outside the window, overdue, missed, lost
-- grain: programme, planned_visit
-- source: reduction.follow_up_state
-- Each course counts once a visit, whatever scales it was asked: seen in one of them is seen, else late in one of them is late;
-- the other states are those of the course, and alike in all.
with placed as (
    select
        course_id, programme, planned_visit, position, target_day,
        case
            when max(case when state = 'seen' then 1 else 0 end) = 1 then 'seen'
            when max(case when state = 'late' then 1 else 0 end) = 1 then 'late'
            else min(state)
        end as state
    from reduction.follow_up_state
    group by course_id, programme, planned_visit, position, target_day
)

select
    programme, planned_visit, position, target_day,
    count(*) filter (where state = 'seen') as n_seen, count(*) filter (where state = 'late') as n_late,
    count(*) filter (where state = 'overdue') as n_overdue, count(*) filter (where state = 'missed') as n_missed,
    count(*) filter (where state = 'lost') as n_lost, count(*) filter (where state = 'ended') as n_ended,
    count(*) filter (where state = 'not_due') as n_not_due
from placed
group by programme, planned_visit, position, target_day
