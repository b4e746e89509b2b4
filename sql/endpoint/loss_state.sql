-- title: State at each visit under each rule of loss, with the changes that a visit shows and whether the next agreed
-- grain: course_id, definition, loss, confirmation, day
-- source: endpoint.assessment from the evaluation window on; course.score by catalogue.loss_definition
-- In response: the definition is met and the rule does not say lost. Between the two nothing changes the state.
-- A change is held when the next visit shows the same; at a last visit nobody knows: agreed is null, the state waits.
with domains as (
    select distinct programme, domain
    from catalogue.loss_definition
),

measured as (
    select
        assessment.course_id, assessment.definition, assessment.day, assessment.met, assessment.source_id,
        domains.programme, domains.domain, score.worse100 as value, baseline.worse100 as baseline,
        min(score.worse100) over (
            partition by assessment.course_id, assessment.definition, domains.domain
            order by assessment.day rows between unbounded preceding and current row
        ) as best
    from endpoint.assessment as assessment
    inner join course.course as course on assessment.course_id = course.course_id
    inner join domains on course.programme = domains.programme
    left join course.domain_scale as chosen on assessment.course_id = chosen.course_id and domains.domain = chosen.domain
    left join course.baseline as baseline on chosen.course_id = baseline.course_id and chosen.scale = baseline.scale
    left join course.score as score
        on chosen.course_id = score.course_id and chosen.scale = score.scale and assessment.day = score.day
    where assessment.met is not null
        and assessment.day >= course.evaluation_earliest_day - course.evaluation_tolerance_day
),

judged as (
    select
        measured.course_id, measured.definition, rule.loss, measured.day, measured.source_id, measured.met,
        case when rule.compares = 'definition' then not measured.met
            else coalesce(
                measured.baseline - measured.value <= (1 - rule.peak_lost_min) * (measured.baseline - measured.best), false
            )
                or coalesce(measured.value >= rule.baseline_share_min * measured.baseline, false)
                or coalesce(measured.value > rule.level, false)
                or coalesce(measured.value - measured.best >= rule.worsening_min, false)
        end as lost
    from measured
    inner join catalogue.loss_definition as rule
        on measured.programme = rule.programme and measured.domain is not distinct from rule.domain
    where rule.compares = 'definition' or measured.value is not null
),

shown as (
    select
        course_id, definition, loss, day, source_id,
        case when lost then 0 when met then 1 end as shows,
        lead(day) over sequence is not null as has_next,
        lead(case when lost then 0 when met then 1 end) over sequence as next_shows
    from judged
    window sequence as (partition by course_id, definition, loss order by day)
),

-- Responding, by the last change held up to a visit and up to the one before it, and whether any was a response.
settled as (
    select
        course_id, definition, loss, day, source_id, shows, has_next,
        last_value(shows ignore nulls) over up_to_now as first_now,
        last_value(shows ignore nulls) over up_to_before as first_before,
        max(shows) over up_to_now as first_ever,
        last_value(case when shows = next_shows then shows end ignore nulls) over up_to_now as confirmed_now,
        last_value(case when shows = next_shows then shows end ignore nulls) over up_to_before as confirmed_before,
        max(case when shows = next_shows then shows end) over up_to_now as confirmed_ever
    from shown
    window
        up_to_now as (partition by course_id, definition, loss order by day rows between unbounded preceding and current row),
        up_to_before as (partition by course_id, definition, loss order by day rows between unbounded preceding and 1 preceding)
),

by_rule as (
    select course_id, definition, loss, day, source_id, shows, has_next, 'first' as confirmation,
        coalesce(first_now, 0) as responding, coalesce(first_before, 0) as responded, first_ever as ever
    from settled
    union all
    select course_id, definition, loss, day, source_id, shows, has_next, 'confirmed',
        coalesce(confirmed_now, 0), coalesce(confirmed_before, 0), confirmed_ever
    from settled
)

select
    course_id, definition, loss, confirmation, day,
    case when responding = 1 then 'in_response' when ever = 1 then 'response_lost'
        else 'no_response_yet' end as state,
    case when shows = 1 and responded = 0 then 'in_response'
        when shows = 0 and responded = 1 then 'response_lost' end as shown_state,
    case when shows <> responded and (has_next or confirmation = 'first')
        then responding = shows end as agreed,
    'staging.score' as source_table, source_id
from by_rule
