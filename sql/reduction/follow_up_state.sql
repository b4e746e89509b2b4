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

planned as (
    select
        asked.*, visit.planned_visit, visit.position, visit.target_day, visit.window_low_day, visit.window_high_day,
        coalesce(lead(visit.window_low_day) over (
            partition by asked.course_id, asked.scale order by visit.position
        ), 100000) as next_low_day
    from asked
    inner join catalogue.programme_visit as visit on asked.programme = visit.programme
    where visit.target_day > 0
),

scored as (
    select
        planned.course_id, planned.scale, planned.position,
        max(case when score.day between planned.window_low_day and planned.window_high_day then 1 else 0 end) as in_window,
        max(case when score.day > planned.window_high_day and score.day < planned.next_low_day then 1 else 0 end) as late
    from planned
    inner join course.score as score
        on planned.course_id = score.course_id and planned.scale = score.scale
        and score.day >= planned.window_low_day and score.day < planned.next_low_day
    group by planned.course_id, planned.scale, planned.position
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
