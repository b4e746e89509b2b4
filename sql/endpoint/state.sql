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

settled as (
    select
        ordered.course_id, ordered.definition, rules.confirmation, ordered.day, ordered.source_id,
        coalesce(last_value(
            case when rules.confirmation = 'first' or ordered.met = ordered.next_met then ordered.met end ignore nulls
        ) over (
            partition by ordered.course_id, ordered.definition, rules.confirmation
            order by ordered.day rows between unbounded preceding and current row
        ), false) as responding
    from ordered
    cross join rules
),

visits as (
    select
        course_id, definition, confirmation, day, source_id,
        case
            when responding then 'in_response'
            when max(case when responding then 1 else 0 end) over (
                partition by course_id, definition, confirmation
                order by day rows between unbounded preceding and current row
            ) = 1 then 'response_lost'
            else 'no_response_yet'
        end as state
    from settled
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
    select 1 from ends
    where ends.course_id = visits.course_id and ends.definition = visits.definition
        and ends.confirmation = visits.confirmation and ends.day = visits.day
)
union all
select course_id, definition, confirmation, day, state, 'event', source_id
from ends
