-- title: The goals of each course of the cohort, one of each kind, with the change expected and reached by a year
-- grain: course_id, domain
-- source: course.goal, domain_scale, baseline, planned_score; cohort.course; catalogue.programme_visit
-- The last agreed of a kind counts. Main: the most important, of equal ones the last agreed. A change is compared where a
-- scale stands for the goal: pain, function for mobility, quality of life; at the planned visit nearest to a year.
with latest as (
    select cohort.patient_id, cohort.stratum, goal.*
    from cohort.course as cohort
    inner join course.goal as goal on cohort.course_id = goal.course_id
    qualify row_number() over (partition by goal.course_id, goal.domain order by goal.agreed_day desc, goal.goal_id) = 1
),

a_year as (
    select programme, min_by(planned_visit, abs(target_day - 365) * 10000 + target_day) as planned_visit
    from catalogue.programme_visit
    where target_day > 0
    group by programme
),

reached as (
    select
        chosen.course_id,
        case chosen.domain when 'pain' then 'pain' when 'function' then 'mobility' when 'qol' then 'quality_of_life' end as domain,
        baseline.worse100 - score.worse100 as points
    from course.domain_scale as chosen
    inner join course.course as course on chosen.course_id = course.course_id
    inner join a_year on course.programme = a_year.programme
    inner join course.baseline as baseline on chosen.course_id = baseline.course_id and chosen.scale = baseline.scale
    inner join course.planned_score as score
        on chosen.course_id = score.course_id and chosen.scale = score.scale
        and a_year.planned_visit = score.planned_visit and score.choice = 1
)

select
    latest.course_id, latest.patient_id, latest.stratum, latest.domain,
    row_number() over (
        partition by latest.course_id
        order by coalesce(latest.importance, 0) desc, latest.agreed_day desc, latest.domain
    ) = 1 as is_main,
    latest.expected_case, latest.attainment, latest.expected_points,
    cast(reached.points as decimal(12, 4)) as reached_points
from latest
left join reached on latest.course_id = reached.course_id and latest.domain = reached.domain
