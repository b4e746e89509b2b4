-- title: State at each visit under each rule of loss, with the changes that a visit shows and whether the next agreed
-- grain: course_id, definition, loss, confirmation, day
-- source: endpoint.assessment from the evaluation window on; course.score by catalogue.loss_definition
-- In response: the definition is met and the rule does not say lost. Between the two nothing changes the state.
-- A change is held when the next visit shows the same; at a last visit nobody knows: agreed is null, the state waits.
with rules as (
    select 'first' as confirmation
    union all
    select 'confirmed' as confirmation
),

measured as (
    select
        assessment.course_id, assessment.definition, rule.loss, assessment.day, assessment.met, assessment.source_id,
        rule.compares, rule.peak_lost_min, rule.baseline_share_min, rule.level, rule.worsening_min,
        score.worse100 as value, baseline.worse100 as baseline,
        min(score.worse100) over (
            partition by assessment.course_id, assessment.definition, rule.loss
            order by assessment.day rows between unbounded preceding and current row
        ) as best
    from endpoint.assessment as assessment
    inner join course.course as course on assessment.course_id = course.course_id
    inner join catalogue.loss_definition as rule on course.programme = rule.programme
    left join course.domain_scale as chosen on assessment.course_id = chosen.course_id and rule.domain = chosen.domain
    left join course.baseline as baseline on chosen.course_id = baseline.course_id and chosen.scale = baseline.scale
    left join course.score as score
        on chosen.course_id = score.course_id and chosen.scale = score.scale and assessment.day = score.day
    where assessment.met is not null
        and assessment.day >= course.evaluation_earliest_day - course.evaluation_tolerance_day
),

judged as (
    select
        course_id, definition, loss, day, source_id, met,
        case when compares = 'definition' then not met
            else coalesce(baseline - value <= (1 - peak_lost_min) * (baseline - best), false)
                or coalesce(value >= baseline_share_min * baseline, false)
                or coalesce(value > level, false)
                or coalesce(value - best >= worsening_min, false)
        end as lost,
        compares = 'definition' or value is not null as known
    from measured
),

shown as (
    select
        course_id, definition, loss, day, source_id,
        case when lost then 0 when met then 1 end as shows,
        lead(day) over sequence is not null as has_next,
        lead(case when lost then 0 when met then 1 end) over sequence as next_shows
    from judged
    where known
    window sequence as (partition by course_id, definition, loss order by day)
),

settled as (
    select
        shown.*, rules.confirmation,
        coalesce(last_value(
            case when rules.confirmation = 'first' or shown.shows = shown.next_shows then shown.shows end ignore nulls
        ) over (
            partition by shown.course_id, shown.definition, shown.loss, rules.confirmation
            order by shown.day rows between unbounded preceding and current row
        ), 0) as responding
    from shown
    cross join rules
),

before as (
    select
        settled.*,
        lag(responding, 1, 0) over (
            partition by course_id, definition, loss, confirmation order by day
        ) as responded,
        max(responding) over (
            partition by course_id, definition, loss, confirmation
            order by day rows between unbounded preceding and current row
        ) as ever
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
from before
