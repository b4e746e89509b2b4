-- One row a planned visit of the sciatica trial: pain now and at the visit before, operated by now and by then.
with visits as (
    select
        course.course_id, planned.position - 1 as number, date_diff('day', course.index_date, visit.date) as day
    from record.visit as visit
    inner join course.course as course on visit.target_id = course.target_id
    inner join catalogue.programme_visit as planned
        on course.programme = planned.programme and visit.planned_visit = planned.planned_visit
),

scored as (
    select
        visits.course_id, visits.number, visits.day, profile.sex,
        coalesce(ending.day <= visits.day, false) as operated,
        max(score.value) filter (where score.scale = 'VAS-leg-pain') as leg_pain,
        max(score.value) filter (where score.scale = 'Roland') as roland,
        max(score.value) filter (where score.scale = 'Likert-recovery') as likert
    from visits
    inner join course.profile as profile on visits.course_id = profile.course_id
    left join course.score as score on visits.course_id = score.course_id and visits.day = score.day
    left join endpoint.end_event as ending on visits.course_id = ending.course_id
    group by all
)

select
    scored.*,
    pain.value as leg_pain_baseline, disability.value as roland_baseline,
    lag(scored.leg_pain) over course as leg_pain_before,
    lag(scored.roland) over course as roland_before,
    lag(scored.likert) over course as likert_before,
    lag(scored.operated) over course as operated_before
from scored
left join course.baseline as pain on scored.course_id = pain.course_id and pain.scale = 'VAS-leg-pain'
left join course.baseline as disability on scored.course_id = disability.course_id and disability.scale = 'Roland'
window course as (partition by scored.course_id order by scored.day)
order by scored.course_id, scored.day
