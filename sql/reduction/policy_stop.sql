-- title: The day on which the policies of the question stop a course of the cohort, and as what
-- grain: course_id
-- source: endpoint.intercurrent; cohort.course, cohort.question (one row)
-- booster_policy, rescue_policy: `treatment_policy` goes on; `censor` stops on the day of the first, as if nobody had had
-- one; rescue_policy `composite` takes the first rescue for an end of the target. On one day the end comes first.
with stops as (
    select
        cohort.course_id, happened.day as stop_day,
        case when happened.role = 'rescue' and question.rescue_policy = 'composite' then 'ended' else 'censored' end as stop_as
    from cohort.course as cohort
    cross join cohort.question as question
    inner join endpoint.intercurrent as happened on cohort.course_id = happened.course_id
    where
        (happened.role = 'booster' and question.booster_policy = 'censor')
        or (happened.role = 'rescue' and question.rescue_policy in ('censor', 'composite'))
)

select course_id, stop_day, stop_as
from stops
qualify row_number() over (partition by course_id order by stop_day, stop_as desc) = 1
