-- title: The states in which the cohort was seen, and the last, unconfirmed change that nobody could confirm
-- grain: course_id, day
-- source: endpoint.loss_state; reduction.policy_stop; cohort.course, cohort.question (one row), cohort.loss (one row)
-- agreed: whether the next visit showed the change too; null where there was none to show it. open_state is then the state
-- that was shown, and how often such a change holds is counted in reduction.panel_agreement.
select
    cohort.course_id, cohort.patient_id, cohort.stratum, visit.day, visit.state, visit.shown_state, visit.agreed,
    case when visit.agreed is null then visit.shown_state end as open_state
from cohort.course as cohort
inner join endpoint.loss_state as visit on cohort.course_id = visit.course_id
inner join cohort.question as question
    on visit.definition = question.definition and visit.confirmation = question.confirmation
inner join cohort.loss as wanted on visit.loss = wanted.loss
left join reduction.policy_stop as stop on cohort.course_id = stop.course_id
left join endpoint.end_event as ending on cohort.course_id = ending.course_id
where
    visit.day <= coalesce(stop.stop_day - case when stop.stop_as = 'ended' then 1 else 0 end, 100000)
    and visit.day < coalesce(ending.day, 100000)
