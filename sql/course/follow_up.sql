-- title: How far each course was followed: by scores, and by any contact
-- grain: course_id
-- source: course.score on the programme's scales, record.visit, course.event; up to the next course of the target
-- renewed: whole; reads the data cut
with scores as (
    select score.course_id, max(score.day) as last_assessed_day, count(distinct score.day) as n_assessed_days
    from course.score as score
    inner join course.course as course on score.course_id = course.course_id
    inner join catalogue.programme_scale as offered
        on course.programme = offered.programme and score.scale = offered.scale
    where score.day > 0
    group by score.course_id
),

visits as (
    select course.course_id, max(date_diff('day', course.index_date, visit.date)) as last_visit_day
    from record.visit as visit
    inner join course.course as course
        on visit.patient_id = course.patient_id and coalesce(visit.target_id, course.target_id) = course.target_id
    where
        visit.status in ('done', 'out_of_window')
        and date_diff('day', course.index_date, visit.date) <= date_diff('day', course.index_date, course.data_cut)
        and date_diff('day', course.index_date, visit.date) <= coalesce(course.next_course_day, 100000)
    group by course.course_id
),

events as (
    select course_id, max(day) as last_event_day
    from course.event
    group by course_id
)

select
    course.course_id,
    coalesce(scores.n_assessed_days, 0) as n_assessed_days,
    scores.last_assessed_day,
    case when course.index_date is not null then greatest(
        coalesce(scores.last_assessed_day, 0), coalesce(visits.last_visit_day, 0), coalesce(events.last_event_day, 0)
    ) end as last_contact_day
from course.course as course
left join scores on course.course_id = scores.course_id
left join visits on course.course_id = visits.course_id
left join events on course.course_id = events.course_id
