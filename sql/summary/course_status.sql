-- title: Where each course stands, by which rule, and what is due
-- grain: course_id
-- source: endpoint.state (confirmed, default definition), end_event, visit_window; it names what to review, never what to do
-- renewed: whole; reads the data cut
with latest as (
    select state.course_id, max_by(state.state, state.day) as state, max(state.day) as day
    from endpoint.state as state
    inner join course.course as course on state.course_id = course.course_id
    inner join catalogue.programme as programme
        on course.programme = programme.programme and state.definition = programme.definition
    where state.confirmation = 'confirmed'
    group by state.course_id
),

windows as (
    select
        course_id,
        min(case when not due then due_date end) as next_due_date,
        min_by(planned_visit, case when not due then position end) as next_due_visit,
        count(*) filter (where due and not seen) as n_missed,
        max_by(seen, case when due then position end) as last_due_seen
    from summary.visit_window
    where position > 1
    group by course_id
),

judged as (
    select
        course.course_id, course.programme, course.potential_follow_up_day, follow_up.last_assessed_day,
        latest.state, programme.definition, windows.next_due_date, windows.next_due_visit, windows.n_missed,
        windows.last_due_seen, course.data_cut, course.evaluation_latest_day,
        case
            when consent.withdrawn_all then 'withdrawn'
            when course.index_date is null then 'not_treated'
            when ending.day is not null then 'ended'
            when course.next_course_day is not null then 'ended'
            when course.potential_follow_up_day < course.evaluation_earliest_day then 'too_early'
            when windows.n_missed >= 2 and not coalesce(windows.last_due_seen, true) then 'lost'
            when programme.definition is null then 'described_only'
            when latest.state = 'in_response' then 'responding'
            when latest.state = 'response_lost' then 'regressing'
            when latest.state is null then 'not_assessed'
            when course.potential_follow_up_day > course.evaluation_latest_day then 'no_response'
            else 'insufficient'
        end as status
    from course.course as course
    inner join catalogue.programme as programme on course.programme = programme.programme
    inner join course.follow_up as follow_up on course.course_id = follow_up.course_id
    inner join staging.consent as consent on course.patient_id = consent.patient_id
    left join endpoint.end_event as ending on course.course_id = ending.course_id
    left join latest on course.course_id = latest.course_id
    left join windows on course.course_id = windows.course_id
)

select
    course_id, programme, status,
    case status
        when 'withdrawn' then 'consent withdrawn for all data: not in any analysis'
        when 'not_treated' then 'no session recorded'
        when 'ended' then 'replacement, death, other treatment, or a later course'
        when 'too_early' then 'before the evaluation window'
        when 'lost' then 'the last due visit and at least one more were missed'
        when 'described_only' then 'the programme has no response definition'
        when 'responding' then 'definition met, confirmed at the latest visits'
        when 'regressing' then 'response confirmed, then lost: review'
        when 'not_assessed' then 'evaluation due, nothing measured: contact'
        when 'no_response' then 'never met within the evaluation window: review the plan'
        when 'insufficient' then 'not met so far, evaluation window open: review'
    end as rule,
    definition, last_assessed_day, potential_follow_up_day,
    case when status not in ('ended', 'not_treated', 'withdrawn') then next_due_visit end as next_due_visit,
    case when status not in ('ended', 'not_treated', 'withdrawn') then next_due_date end as next_due_date,
    case when status not in ('ended', 'not_treated', 'withdrawn') then coalesce(n_missed, 0) else 0 end as n_overdue
from judged
