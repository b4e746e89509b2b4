-- title: Points at which a booster could be decided on, what was known on that day, and what was done
-- grain: course_id, definition, visit_day
-- source: endpoint.assessment; course.decision, course.session; endpoint.end_event
-- renewed: whole; whether a centre keeps a log shows in all of its decisions
-- A centre that records decisions against a booster keeps a log in that programme, from the first of them on: its points
-- are the first decision within 30 days after a judged visit. Elsewhere, and before, each judged visit is a point. Nothing
-- that happened later decides what is a point: neither whether the next visit agreed, nor how long the course went on.
with visits as (
    select
        assessment.course_id, assessment.definition, assessment.day as visit_day, assessment.met, assessment.source_id,
        course.patient_id, course.programme, course.index_date, coalesce(ending.day, 100000) as end_day,
        coalesce(max(case when assessment.met then 1 else 0 end) over (
            partition by assessment.course_id, assessment.definition
            order by assessment.day rows between unbounded preceding and 1 preceding
        ), 0) = 1 as met_before,
        lead(assessment.day) over (partition by assessment.course_id, assessment.definition order by assessment.day)
            as next_visit_day
    from endpoint.assessment as assessment
    inner join course.course as course on assessment.course_id = course.course_id
    left join endpoint.end_event as ending on assessment.course_id = ending.course_id
    where
        assessment.met is not null
        and assessment.day >= course.evaluation_earliest_day - course.evaluation_tolerance_day
        and assessment.day < coalesce(ending.day, 100000)
),

log_keeping as (
    select patient.centre_id, course.programme, min(written.date) as since
    from course.decision as decision
    inner join record.decision as written on decision.decision_id = written.id
    inner join course.course as course on decision.course_id = course.course_id
    inner join record.patient as patient on decision.patient_id = patient.id
    where decision.decision <> 'booster'
    group by patient.centre_id, course.programme
),

logged as (
    select
        visits.course_id, visits.definition, visits.visit_day, decision.decision_id, decision.day, decision.decision,
        decision.trigger, decision.cost_barrier
    from visits
    inner join course.decision as decision on visits.course_id = decision.course_id
    where
        decision.day between visits.visit_day and visits.visit_day + 30 and decision.day < visits.end_day
        and decision.day < coalesce(visits.next_visit_day, 100000)
    qualify row_number() over (
        partition by visits.course_id, visits.definition, visits.visit_day order by decision.day, decision.decision_id
    ) = 1
),

-- A booster on the day of a visit was given after what the visit saw.
boosters as (
    select visits.course_id, visits.definition, visits.visit_day,
        min(case when session.day >= visits.visit_day then session.day end) as booster_day,
        count(*) filter (where session.day < visits.visit_day) as n_boosters_before
    from visits
    inner join course.session as session on visits.course_id = session.course_id and session.role = 'booster'
    where session.day < coalesce(visits.next_visit_day, 100000)
    group by visits.course_id, visits.definition, visits.visit_day
)

select
    visits.course_id, visits.definition, visits.visit_day,
    coalesce(logged.day, visits.visit_day) as day,
    visits.met, visits.met_before,
    case when not visits.met then case when visits.met_before then 'regression' else 'insufficient' end end as situation,
    case when log_keeping.centre_id is null then 'visits' else 'decision log' end as origin,
    log_keeping.centre_id is null
    or (logged.decision_id is not null and coalesce(boosters.booster_day, 100000) >= logged.day) as asked,
    case when log_keeping.centre_id is not null then logged.decision = 'booster' end as decided,
    logged.trigger, logged.cost_barrier,
    boosters.booster_day,
    coalesce(boosters.n_boosters_before, 0) as n_boosters_before,
    visits.next_visit_day,
    case when logged.decision_id is null or log_keeping.centre_id is null then 'staging.score' else 'decision' end as source_table,
    case when log_keeping.centre_id is null then visits.source_id else coalesce(logged.decision_id, visits.source_id) end as source_id
from visits
left join record.patient as patient on visits.patient_id = patient.id
left join log_keeping
    on patient.centre_id = log_keeping.centre_id and visits.programme = log_keeping.programme
    -- The visit that the first decision was about came up to 30 days before it.
    and date_diff('day', log_keeping.since, visits.index_date) + visits.visit_day >= -30
left join logged
    on visits.course_id = logged.course_id and visits.definition = logged.definition
    and visits.visit_day = logged.visit_day
left join boosters
    on visits.course_id = boosters.course_id and visits.definition = boosters.definition
    and visits.visit_day = boosters.visit_day
