-- title: What became of each course of the cohort by each planned visit: change, state, or the end of the target
-- grain: course_id, position
-- source: course.planned_score, baseline, domain_scale; endpoint.assessment, end_event; catalogue.programme_visit; cohort.outlook
-- Improvement is positive. A target that ended before the visit has no score there and is in state ended, dead or treated
-- anew from then on. A visit not due by the data cut has no row, whatever happened: those who ended would else be counted
-- before the others. One that was due and missed has a row without a score. Sustained: in response at this visit and at the
-- judged visit before it; null where no earlier visit was judged, or nothing is known of this one.
with asked as (
    select
        cohort.course_id, cohort.patient_id, visit.planned_visit, visit.position, visit.target_day,
        visit.window_low_day, visit.window_high_day, question.definition,
        least(coalesce(ending.day, 100000), coalesce(course.next_course_day, 100000)) as end_day,
        case when ending.day <= coalesce(course.next_course_day, 100000) then ending.role else 'switch' end as end_role,
        baseline.scale, baseline.worse100 as baseline
    from cohort.course as cohort
    cross join cohort.outlook as question
    inner join course.course as course on cohort.course_id = course.course_id
    inner join catalogue.programme_visit as visit on course.programme = visit.programme and visit.target_day > 0
    inner join course.domain_scale as chosen
        on cohort.course_id = chosen.course_id and chosen.domain = question.domain
    inner join course.baseline as baseline
        on chosen.course_id = baseline.course_id and chosen.scale = baseline.scale
    left join endpoint.end_event as ending on cohort.course_id = ending.course_id
    where date_diff('day', course.index_date, course.data_cut) >= visit.window_high_day
),

scored as (
    select asked.course_id, asked.position, score.day, asked.baseline - score.worse100 as improvement
    from asked
    inner join course.planned_score as score
        on asked.course_id = score.course_id and asked.scale = score.scale
        and asked.planned_visit = score.planned_visit and score.choice = 1
    where score.day <= asked.end_day
),

judged as (
    select
        asked.course_id, asked.position,
        max_by(assessment.met, case when assessment.day >= asked.window_low_day then assessment.day end) as met,
        max_by(assessment.met, case when assessment.day < asked.window_low_day then assessment.day end) as met_last,
        max(case when assessment.met and assessment.day < asked.window_low_day then 1 else 0 end) as met_before
    from asked
    inner join endpoint.assessment as assessment
        on asked.course_id = assessment.course_id and asked.definition = assessment.definition
        and assessment.day <= asked.window_high_day
    where assessment.met is not null
    group by asked.course_id, asked.position
)

select
    asked.course_id, asked.patient_id, asked.planned_visit, asked.position, asked.target_day,
    cast(scored.improvement as decimal(12, 4)) as improvement,
    case
        when asked.end_day <= asked.window_high_day and asked.end_role = 'death' then 'dead'
        when asked.end_day <= asked.window_high_day and asked.end_role = 'end' then 'ended'
        when asked.end_day <= asked.window_high_day then 'treated_anew'
        when scored.course_id is null or judged.met is null then null
        when judged.met then 'in_response'
        when judged.met_before = 1 then 'response_lost'
        else 'no_response'
    end as state,
    case when scored.course_id is not null and asked.end_day > asked.window_high_day and judged.met_last is not null
        then judged.met and judged.met_last end as sustained
from asked
left join scored on asked.course_id = scored.course_id and asked.position = scored.position
left join judged on asked.course_id = judged.course_id and asked.position = judged.position
