-- title: When response was lost, as the interval (left_day, right_day] between the last good visit and the first bad
-- grain: course_id, definition, confirmation, loss
-- source: endpoint.loss_state; endpoint.end_event
-- The clock is days since the first session; response_day is the first visit in response, so that loss is left-truncated
-- there. Not lost: right_day is null and left_day the last good visit, never the last contact.
with gathered as (
    select
        course_id, definition, loss, confirmation,
        min(day) filter (where state = 'in_response') as response_day,
        min(day) filter (where state = 'response_lost') as right_day,
        min_by(source_id, case when state = 'response_lost' then day end) as source_id,
        max(day) filter (where state = 'in_response' and (agreed is not null or shown_state is null)) as last_good_day,
        max(day) as last_day,
        max_by(case when shown_state = 'response_lost' and agreed is null then 1 else 0 end, day) as open_end
    from endpoint.loss_state
    group by course_id, definition, loss, confirmation
),

-- The visit before the first bad one.
last_before as (
    select gathered.course_id, gathered.definition, gathered.loss, gathered.confirmation, max(visit.day) as left_day
    from gathered
    inner join endpoint.loss_state as visit
        on gathered.course_id = visit.course_id and gathered.definition = visit.definition
        and gathered.loss = visit.loss and gathered.confirmation = visit.confirmation
    where visit.day < gathered.right_day
    group by gathered.course_id, gathered.definition, gathered.loss, gathered.confirmation
),

rules as (
    select 'first' as confirmation
    union all
    select 'confirmed' as confirmation
),

wanted as (
    select course.course_id, used.definition, rules.confirmation, rule.loss
    from course.course as course
    inner join endpoint.definition_use as used on course.programme = used.programme
    inner join catalogue.loss_definition as rule on course.programme = rule.programme
    cross join rules
)

select
    wanted.course_id, wanted.definition, wanted.confirmation, wanted.loss,
    gathered.response_day,
    case when gathered.right_day is null then gathered.last_good_day else last_before.left_day end as left_day,
    gathered.right_day,
    case
        when gathered.last_day is null then 'not_assessed'
        when gathered.response_day is null then 'no_response'
        when gathered.right_day is not null then 'lost'
        when gathered.open_end = 1 then 'unconfirmed'
        else 'in_response'
    end as status,
    gathered.last_day as last_assessed_day,
    ending.day as end_day,
    ending.role as end_role,
    'staging.score' as source_table,
    gathered.source_id
from wanted
left join gathered
    on wanted.course_id = gathered.course_id and wanted.definition = gathered.definition
    and wanted.confirmation = gathered.confirmation and wanted.loss = gathered.loss
left join last_before
    on wanted.course_id = last_before.course_id and wanted.definition = last_before.definition
    and wanted.confirmation = last_before.confirmation and wanted.loss = last_before.loss
left join endpoint.end_event as ending on wanted.course_id = ending.course_id
