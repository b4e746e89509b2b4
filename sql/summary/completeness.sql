-- title: Completeness by planned visit and stage
-- grain: programme, stage, planned_visit
-- source: summary.visit_window; courses whose target was replaced or who died before the visit are not due
-- renewed: whole; counts patients
select
    profile.programme, coalesce(profile.stage, 'not known') as stage, visit.planned_visit,
    min(visit.position) as position,
    min(visit.target_day) as target_day,
    count(*) filter (where visit.due) as n_due,
    count(*) filter (where visit.due and visit.seen) as n_seen
from summary.visit_window as visit
inner join course.profile as profile on visit.course_id = profile.course_id
where not profile.withdrawn_all
group by profile.programme, coalesce(profile.stage, 'not known'), visit.planned_visit
