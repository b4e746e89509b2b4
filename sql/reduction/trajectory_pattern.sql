-- title: Courses, and their changes, by the planned visits that were due and those at which they were seen
-- grain: stratum, visits_due, visits_seen, position
-- source: summary.visit_window, reduction.trajectory_course, trajectory_value; cohort.trajectory_visit
-- Due: the window closed before the data cut and before any end of the target; who was seen although not due counts as due.
-- Visits are 2 to the power of their positions, added up. Position 0 counts the courses, the others have the changes seen.
with planned as (
    select
        course.course_id, course.stratum, visit.position, value.change,
        coalesce(visit_window.due, false) or value.course_id is not null as due,
        value.course_id is not null as seen
    from reduction.trajectory_course as course
    cross join cohort.trajectory_visit as visit
    left join summary.visit_window as visit_window
        on course.course_id = visit_window.course_id and visit.planned_visit = visit_window.planned_visit
    left join reduction.trajectory_value as value on course.course_id = value.course_id and visit.position = value.position
    where course.reason is null
),

courses as (
    select
        course_id, stratum,
        cast(sum(case when due then power(2, position) else 0 end) as bigint) as visits_due,
        cast(sum(case when seen then power(2, position) else 0 end) as bigint) as visits_seen
    from planned
    group by course_id, stratum
),

placed as (
    select courses.stratum, courses.visits_due, courses.visits_seen, 0 as position, cast(0 as decimal(12, 4)) as change
    from courses
    union all
    select courses.stratum, courses.visits_due, courses.visits_seen, planned.position, planned.change
    from courses
    inner join planned on courses.course_id = planned.course_id
    where planned.seen
)

select
    stratum, visits_due, visits_seen, position, count(*) as n, sum(change) as total, sum(change * change) as square
from placed
group by stratum, visits_due, visits_seen, position
