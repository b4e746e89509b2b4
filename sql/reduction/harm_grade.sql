-- title: Adverse events by CTCAE grade and relation, of those asked about, and the courses that had one
-- grain: stratum, grade, relation
-- source: course.harm; cohort.course, cohort.harm (category, serious; related_to: the relation that is told)
-- `any` is every grade, or every relation; a course counts once in each. Related: possible, probable or definite.
with asked_about as (
    select
        cohort.stratum, harm.course_id, cast(harm.ctcae_grade as varchar) as grade,
        case asked.related_to
            when 'procedure' then harm.related_procedure
            when 'harvest' then harm.related_harvest
            else harm.related_product
        end as stated
    from course.harm as harm
    inner join cohort.course as cohort on harm.course_id = cohort.course_id
    cross join cohort.harm as asked
    where
        (asked.category is null or harm.category = asked.category)
        and harm.ctcae_grade >= asked.least_grade
        and (not asked.serious or coalesce(harm.serious, false))
),

told as (
    select
        stratum, course_id, grade,
        case
            when stated in ('possible', 'probable', 'definite') then 'related'
            when stated in ('not', 'unlikely') then 'not related'
            else 'not stated'
        end as relation
    from asked_about
),

every_grade as (
    select stratum, course_id, grade, relation
    from told
    union all
    select stratum, course_id, 'any' as grade, relation
    from told
),

every_relation as (
    select stratum, course_id, grade, relation
    from every_grade
    union all
    select stratum, course_id, grade, 'any' as relation
    from every_grade
)

select stratum, grade, relation, count(*) as n_events, count(distinct course_id) as n_courses
from every_relation
group by stratum, grade, relation
