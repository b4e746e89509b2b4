-- title: When response began, as the interval (left_day, right_day] between two visits
-- grain: course_id, definition, confirmation, early_visits
-- source: endpoint.assessment; endpoint.end_event; endpoint.intercurrent
-- confirmation: `first` crossing, or `confirmed` by the next visit. early_visits: those before evaluation is due are
-- `ignored` or `counted`. Never met: right_day is null and left_day the last assessed visit, never the last contact.
-- The last visit can confirm a response but not begin one that needs confirming: when confirmed is asked, everybody is
-- watched to the last visit but one. To keep the last visit for those who did not meet it alone would bias downward.
with visits as (
    select
        assessment.course_id, assessment.definition, assessment.day, assessment.met, assessment.source_id,
        assessment.day >= course.evaluation_earliest_day - course.evaluation_tolerance_day as due
    from endpoint.assessment as assessment
    inner join course.course as course on assessment.course_id = course.course_id
    where assessment.met is not null
),

variants as (
    select 'counted' as early_visits
    union all
    select 'ignored' as early_visits
),

ordered as (
    select
        visits.course_id, visits.definition, variants.early_visits, visits.day, visits.met, visits.source_id,
        coalesce(lag(visits.day) over sequence, 0) as previous_day,
        lead(visits.met) over sequence as next_met
    from visits
    inner join variants on visits.due or variants.early_visits = 'counted'
    window sequence as (partition by visits.course_id, visits.definition, variants.early_visits order by visits.day)
),

events as (
    select
        course_id, definition, early_visits,
        min(day) filter (where met) as first_day,
        min(case when met then previous_day end) filter (where met) as first_left_day,
        min_by(source_id, case when met then day end) as first_source_id,
        min(day) filter (where met and next_met) as confirmed_day,
        min(case when met and next_met then previous_day end) as confirmed_left_day,
        min_by(source_id, case when met and next_met then day end) as confirmed_source_id,
        max(day) as last_day,
        max(previous_day) as last_settled_day,
        max(case when met and next_met is null then 1 else 0 end) as open_end
    from ordered
    group by course_id, definition, early_visits
),

long as (
    select course_id, definition, early_visits, 'first' as confirmation, first_left_day as left_day,
        first_day as right_day, first_source_id as source_id, last_day, last_day as settled_day, 0 as open_end
    from events
    union all
    select course_id, definition, early_visits, 'confirmed', confirmed_left_day,
        confirmed_day, confirmed_source_id, last_day, last_settled_day, open_end
    from events
),

rules as (
    select 'first' as confirmation
    union all
    select 'confirmed' as confirmation
),

wanted as (
    select course.course_id, used.definition, rules.confirmation, variants.early_visits
    from course.course as course
    inner join endpoint.definition_use as used on course.programme = used.programme
    cross join rules
    cross join variants
)

select
    wanted.course_id, wanted.definition, wanted.confirmation, wanted.early_visits,
    case when long.right_day is not null then long.left_day else long.settled_day end as left_day,
    long.right_day,
    case
        when long.last_day is null then 'not_assessed'
        when long.right_day is not null then 'responded'
        when long.open_end = 1 then 'unconfirmed'
        else 'not_responded'
    end as status,
    long.last_day as last_assessed_day,
    'staging.score' as source_table,
    long.source_id
from wanted
left join long
    on wanted.course_id = long.course_id and wanted.definition = long.definition
    and wanted.confirmation = long.confirmation and wanted.early_visits = long.early_visits
