-- title: What happened to each course of the cohort and between which days, as rows that may leave
-- grain: course_id, parameter
-- source: endpoint.response and endpoint.loss (confirmed, early visits ignored), endpoint.end_event; cohort.question
-- status 1: it happened in (left_day, right_day]; 0: not up to left_day. An end is known to the day: both are that day.
select
    response.course_id, 'RESPONSE' as parameter,
    case when response.right_day is not null then 1 else 0 end as status,
    response.left_day, response.right_day
from cohort.course as cohort
inner join cohort.question as question on true
inner join endpoint.response as response
    on cohort.course_id = response.course_id and question.definition = response.definition
    and response.confirmation = 'confirmed' and response.early_visits = 'ignored'
where response.status <> 'not_assessed'
union all
select
    loss.course_id, 'LOSS' as parameter,
    case when loss.right_day is not null then 1 else 0 end as status,
    loss.left_day, loss.right_day
from cohort.course as cohort
inner join cohort.question as question on true
inner join endpoint.loss as loss
    on cohort.course_id = loss.course_id and question.definition = loss.definition
    and loss.confirmation = 'confirmed' and loss.loss = 'L1'
where loss.response_day is not null
union all
select
    cohort.course_id, 'END' as parameter,
    case when ending.role = 'end' then 1 else 0 end as status,
    coalesce(ending.day, follow_up.last_contact_day) as left_day,
    case when ending.role = 'end' then ending.day end as right_day
from cohort.course as cohort
left join endpoint.end_event as ending on cohort.course_id = ending.course_id
left join course.follow_up as follow_up on cohort.course_id = follow_up.course_id
