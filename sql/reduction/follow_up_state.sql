-- title: Each course at each planned visit and scale asked of it: seen, outside the window, overdue, missed, lost
-- grain: course_id, planned_visit, scale
-- source: course.course, course.score, course.event; catalogue.programme_visit, catalogue.programme_scale
-- A scale is asked of a course that was asked it at baseline. not_due before the window opens; ended or lost when the target
-- ended, the patient died or left before it closes; seen in the window; late when a score came after it and before the next
-- window; overdue while the window is open and the target day has passed; missed once it has closed. Withdrawn for all: not told.
with asked as (
    select
        course.course_id, course.programme, course.index_date, course.potential_follow_up_day as open_day,
        offered.scale, least(coalesce(ending.day, 100000), coalesce(left_on.day, 100000)) as over_day,
        coalesce(ending.day, 100000) <= coalesce(left_on.day, 100000) as over_by_end
    from course.course as course
    inner join catalogue.programme_scale as offered on course.programme = offered.programme
    inner join course.baseline as baseline on course.course_id = baseline.course_id and offered.scale = baseline.scale
    left join endpoint.end_event as ending on course.course_id = ending.course_id
    left join (
        select course_id, min(day) as day from course.event where kind in ('lost_to_followup', 'withdrawal') group by course_id
    ) as left_on on course.course_id = left_on.course_id
    where course.index_date is not null
),

visits as (
    select
        programme, planned_visit, position, target_day, window_low_day, window_high_day,
        coalesce(lead(window_low_day) over (partition by programme order by position), 100000) as next_low_day
    from catalogue.programme_visit
    where target_day > 0
),

planned as (
    select
        asked.*, visits.planned_visit, visits.position, visits.target_day, visits.window_low_day, visits.window_high_day
    from asked
    inner join visits on asked.programme = visits.programme
),

scores as (
    select course.programme, score.course_id, score.scale, score.day
    from course.score as score
    inner join course.course as course on score.course_id = course.course_id
),

days as (select distinct programme, day from scores),

-- To which visit a day belongs, and whether it lies in its window, is the same for every course of a programme.
placed as (
    select
        days.programme, days.day, visits.position,
        case when days.day <= visits.window_high_day then 1 else 0 end as in_window
    from days
    inner join visits
        on days.programme = visits.programme and days.day >= visits.window_low_day and days.day < visits.next_low_day
),

scored as (
    select scores.course_id, scores.scale, placed.position, max(placed.in_window) as in_window, 1 - min(placed.in_window) as late
    from scores
    inner join placed on scores.programme = placed.programme and scores.day = placed.day
    group by scores.course_id, scores.scale, placed.position
)

select
    planned.course_id, planned.programme, coalesce(profile.centre, 'not known') as centre,
    coalesce(profile.stage, 'not known') as stage, planned.scale, planned.planned_visit, planned.position, planned.target_day,
    case
        when scored.in_window = 1 then 'seen'
        when planned.open_day < planned.window_low_day then 'not_due'
        when scored.late = 1 then 'late'
        when planned.over_day <= planned.window_high_day and planned.over_by_end then 'ended'
        when planned.over_day <= planned.window_high_day then 'lost'
        when planned.open_day >= planned.window_high_day then 'missed'
        when planned.open_day >= planned.target_day then 'overdue'
        else 'not_due'
    end as state
from planned
inner join course.profile as profile on planned.course_id = profile.course_id
left join scored
    on planned.course_id = scored.course_id and planned.scale = scored.scale and planned.position = scored.position
where not profile.withdrawn_all
