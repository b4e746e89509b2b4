-- title: How many courses were due and seen at each planned visit
-- grain: stratum, position
-- source: summary.visit_window, reduction.trajectory_course, trajectory_value
-- Due: the window closed before the data cut and before any end of the target; who was seen although not due counts as due.
select
    course.stratum, visit.position,
    count(*) filter (where planned.due or value.course_id is not null) as n_due,
    count(value.course_id) as n_seen
from reduction.trajectory_course as course
cross join cohort.trajectory_visit as visit
left join summary.visit_window as planned
    on course.course_id = planned.course_id and visit.planned_visit = planned.planned_visit
left join reduction.trajectory_value as value on course.course_id = value.course_id and visit.position = value.position
where course.reason is null
group by course.stratum, visit.position
