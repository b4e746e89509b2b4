-- title: Planned visits of each course: due, seen, overdue
-- grain: course_id, planned_visit
-- source: catalogue.programme_visit against course.score; a visit is due once its window has closed before the data cut
-- renewed: whole; reads the data cut
with due as (
    select
        course.course_id, planned.planned_visit, planned.position, planned.target_day, planned.window_low_day,
        planned.window_high_day, course.index_date, course.potential_follow_up_day,
        coalesce(ending.day, 100000) as end_day
    from course.course as course
    inner join catalogue.programme_visit as planned on course.programme = planned.programme
    left join endpoint.end_event as ending on course.course_id = ending.course_id
    where course.index_date is not null
),

scores as (
    select course.programme, score.course_id, score.day, score.scale
    from course.score as score
    inner join course.course as course on score.course_id = course.course_id
),

days as (
    select distinct programme, day
    from scores
),

-- In which windows a day lies is the same for every course of a programme.
windows as (
    select days.programme, days.day, planned.planned_visit
    from days
    inner join catalogue.programme_visit as planned
        on days.programme = planned.programme and days.day between planned.window_low_day and planned.window_high_day
),

seen as (
    select scores.course_id, windows.planned_visit, count(distinct scores.scale) as n_scales
    from scores
    inner join windows on scores.programme = windows.programme and scores.day = windows.day
    group by scores.course_id, windows.planned_visit
)

select
    due.course_id, due.planned_visit, due.position, due.target_day,
    due.potential_follow_up_day >= due.window_high_day and due.end_day > due.window_high_day as due,
    due.potential_follow_up_day >= due.window_low_day and due.end_day > due.window_low_day as open,
    coalesce(seen.n_scales, 0) > 0 as seen,
    coalesce(seen.n_scales, 0) as n_scales,
    due.index_date + cast(due.target_day as integer) as due_date
from due
left join seen on due.course_id = seen.course_id and due.planned_visit = seen.planned_visit
