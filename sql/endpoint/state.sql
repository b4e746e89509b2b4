-- title: State at each visit: no response yet, in response, response lost, ended, dead
-- grain: course_id, definition, confirmation, day
-- source: endpoint.assessment from the evaluation window on; endpoint.end_event on its exact day
-- confirmed: a change of state holds when the next visit agrees; one crossing alone is mostly measurement error.
with rules as (
    select 'first' as confirmation
    union all
    select 'confirmed' as confirmation
),

ordered as (
    select
        assessment.course_id, assessment.definition, assessment.day, assessment.met, assessment.source_id,
        lead(assessment.met) over (
            partition by assessment.course_id, assessment.definition order by assessment.day
        ) as next_met
    from endpoint.assessment as assessment
    inner join course.course as course on assessment.course_id = course.course_id
    where
        assessment.met is not null
        and assessment.day >= course.evaluation_earliest_day - course.evaluation_tolerance_day
),

-- The last change held up to a visit, and whether any before it was a response.
settled as (
    select
        course_id, definition, day, source_id, met as first_now,
        max(case when met then 1 else 0 end) over sequence as first_ever,
        last_value(case when met = next_met then met end ignore nulls) over sequence as confirmed_now,
        max(case when met and next_met then 1 else 0 end) over sequence as confirmed_ever
    from ordered
    window sequence as (
        partition by course_id, definition order by day rows between unbounded preceding and current row
    )
),

by_rule as (
    select
        settled.course_id, settled.definition, rules.confirmation, settled.day, settled.source_id,
        case rules.confirmation when 'first' then settled.first_now else settled.confirmed_now end as responding,
        case rules.confirmation when 'first' then settled.first_ever else settled.confirmed_ever end as ever
    from settled
    cross join rules
),

visits as (
    select
        course_id, definition, confirmation, day, source_id,
        case when responding then 'in_response' when ever = 1 then 'response_lost' else 'no_response_yet' end as state
    from by_rule
),

ends as (
    select
        ending.course_id, used.definition, rules.confirmation, ending.day, ending.source_id,
        case when ending.role = 'death' then 'dead' else 'ended' end as state
    from endpoint.end_event as ending
    inner join course.course as course on ending.course_id = course.course_id
    inner join endpoint.definition_use as used on course.programme = used.programme
    cross join rules
)

select course_id, definition, confirmation, day, state, 'staging.score' as source_table, source_id
from visits
where not exists (
    select 1 from endpoint.end_event as ending
    where ending.course_id = visits.course_id and ending.day = visits.day
)
union all
select course_id, definition, confirmation, day, state, 'event', source_id
from ends
