-- title: Whether each course of the cohort was in response at each planned visit that was due; null: due and not seen
-- grain: course_id, position
-- source: reduction.panel_planned; course.course, catalogue.programme_visit
-- An ended target and the dead are not in response, at visits that would have been due by the data cut: ends are also known
-- of visits to come, and would count without those who go on.
select
    planned.course_id, planned.patient_id, planned.stratum, planned.position, planned.planned_visit, planned.target_day,
    case
        when planned.state = 'in_response' then 1
        when planned.state in ('no_response_yet', 'response_lost', 'ended', 'dead') then 0
    end as in_response
from reduction.panel_planned as planned
inner join course.course as course on planned.course_id = course.course_id
inner join catalogue.programme_visit as visit
    on course.programme = visit.programme and planned.planned_visit = visit.planned_visit
where
    planned.target_day > 0
    and (
        planned.state in ('in_response', 'no_response_yet', 'response_lost')
        or (
            planned.state <> 'not_due'
            and least(date_diff('day', course.index_date, course.data_cut), coalesce(course.next_course_day, 100000))
            >= visit.window_high_day
        )
    )
