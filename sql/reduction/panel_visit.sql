-- title: The states in which the cohort was seen, with the chance that a last, unconfirmed change holds
-- grain: course_id, day
-- source: endpoint.loss_state; cohort.course, cohort.question (one row), cohort.loss (one row)
-- Nobody can confirm what the last visit shows. It is neither believed nor dropped (dropping the changes and keeping
-- the rest would hide every late loss): it counts with the share of such changes that a next visit did confirm, of the
-- same stratum when it has ten of them, else of the cohort, else as shown (mean score, Reilly & Pepe 1995).
with seen as (
    select
        cohort.course_id, cohort.patient_id, cohort.stratum, visit.day, visit.state, visit.shown_state, visit.agreed
    from cohort.course as cohort
    inner join endpoint.loss_state as visit on cohort.course_id = visit.course_id
    inner join cohort.question as question
        on visit.definition = question.definition and visit.confirmation = question.confirmation
    inner join cohort.loss as wanted on visit.loss = wanted.loss
    left join endpoint.intercurrent as booster on cohort.course_id = booster.course_id and booster.role = 'booster'
    left join endpoint.end_event as ending on cohort.course_id = ending.course_id
    where
        (question.booster_policy = 'treatment_policy' or booster.day is null or visit.day <= booster.day)
        and visit.day < coalesce(ending.day, 100000)
),

counted as (
    select
        seen.*,
        count(agreed) over of_stratum as n_stratum,
        count(case when agreed then 1 end) over of_stratum as n_stratum_agreed,
        count(agreed) over of_cohort as n_cohort,
        count(case when agreed then 1 end) over of_cohort as n_cohort_agreed
    from seen
    window
        of_stratum as (partition by stratum, shown_state),
        of_cohort as (partition by shown_state)
)

select
    course_id, patient_id, stratum, day, state,
    case when agreed is null then shown_state end as open_state,
    cast(case
        when shown_state is null or agreed is not null then 0
        when n_stratum >= 10 then n_stratum_agreed / nullif(n_stratum, 0)
        when n_cohort > 0 then n_cohort_agreed / nullif(n_cohort, 0)
        else 1
    end as decimal(9, 6)) as open_share
from counted
