-- title: Whether each course of the cohort was in response at each planned visit that was due; null: due and not seen
-- grain: course_id, position
-- source: reduction.panel_planned; course.course, domain_scale, baseline, planned_score; catalogue.programme_visit, programme_scale
-- An ended target and the dead are not in response, at visits that would have been due by the data cut: ends are also known
-- of visits to come, and would count without those who go on. Improvement, in points of 100 of the first scale that the
-- programme offers (of pain where it offers one), says who leaves: it is for weights, and decides no state.
with first_scale as (
    select
        chosen.course_id, chosen.scale,
        row_number() over (
            partition by chosen.course_id
            order by
                case when chosen.domain = 'pain' then 0 else offered.priority end,
                case when chosen.domain = 'biomarker' then 1 else 0 end, chosen.domain, chosen.scale
        ) as choice
    from course.domain_scale as chosen
    inner join course.course as course on chosen.course_id = course.course_id
    inner join catalogue.programme_scale as offered
        on course.programme = offered.programme and chosen.domain = offered.domain and chosen.scale = offered.scale
),

scored as (
    select score.course_id, score.planned_visit, baseline.worse100 - score.worse100 as improvement
    from first_scale
    inner join course.baseline as baseline
        on first_scale.course_id = baseline.course_id and first_scale.scale = baseline.scale
            and first_scale.choice = 1
    inner join course.planned_score as score
        on first_scale.course_id = score.course_id and first_scale.scale = score.scale and score.choice = 1
)

select
    planned.course_id, planned.patient_id, planned.stratum, planned.position, planned.planned_visit, planned.target_day,
    case
        when planned.state = 'in_response' then 1
        when planned.state in ('no_response_yet', 'response_lost', 'ended', 'dead') then 0
    end as in_response,
    case when planned.state in ('ended', 'dead') then 1 else 0 end as over,
    cast(scored.improvement as decimal(12, 4)) as improvement
from reduction.panel_planned as planned
inner join course.course as course on planned.course_id = course.course_id
inner join catalogue.programme_visit as visit
    on course.programme = visit.programme and planned.planned_visit = visit.planned_visit
left join scored on planned.course_id = scored.course_id and planned.planned_visit = scored.planned_visit
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
