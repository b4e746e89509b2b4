-- title: What was hoped for of each course, what was said could be expected, and what was reached
-- grain: goal_id
-- source: record.goal, course.course; staging.consent: nothing after the day of a withdrawal for the future
-- A goal agreed up to 90 days before a course is that course's; else it is of the last course that had begun, or, before any,
-- of the next.
with placed as (
    select
        goal.id as goal_id, course.course_id, date_diff('day', course.index_date, goal.date) as agreed_day,
        goal.domain, goal.importance, goal.expected_points, goal.expected_case,
        case when coalesce(goal.assessed_date, goal.date) <= coalesce(consent.until_date, date '9999-12-31')
            then goal.attainment end as attainment,
        date_diff('day', course.index_date, goal.assessed_date) as assessed_day
    from record.goal as goal
    inner join course.course as course on goal.target_id = course.target_id
    left join staging.consent as consent on goal.patient_id = consent.patient_id
    where course.index_date is not null and goal.date <= coalesce(consent.until_date, date '9999-12-31')
)

select goal_id, course_id, agreed_day, domain, importance, expected_points, expected_case, attainment, assessed_day
from placed
qualify row_number() over (
    partition by goal_id
    order by
        case when agreed_day between -90 and 0 then 1 when agreed_day > 0 then 2 else 3 end,
        abs(agreed_day), course_id
) = 1
