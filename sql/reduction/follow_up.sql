-- title: Follow-up due by centre, stage, planned visit and scale: seen, outside the window, overdue, missed, lost
-- grain: programme, centre, stage, planned_visit, scale
-- source: reduction.follow_up_state
-- Each course counts once a visit and scale.
select
    programme, centre, stage, planned_visit, scale, min(position) as position, min(target_day) as target_day,
    count(*) filter (where state = 'seen') as n_seen, count(*) filter (where state = 'late') as n_late,
    count(*) filter (where state = 'overdue') as n_overdue, count(*) filter (where state = 'missed') as n_missed,
    count(*) filter (where state = 'lost') as n_lost, count(*) filter (where state = 'ended') as n_ended,
    count(*) filter (where state = 'not_due') as n_not_due
from reduction.follow_up_state
group by programme, centre, stage, planned_visit, scale
