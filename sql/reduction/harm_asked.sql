-- title: The adverse events that are asked about, one by one, with their relation to what is asked
-- grain: course_id, adverse_event_id
-- source: course.harm; cohort.course, cohort.harm (one row: category, least_grade, serious, related_to)
-- relation: to the product, the procedure or the harvest, as asked, to the product where nothing is; related is possible,
-- probable or definite. Whether only related events count is for those who read it.
with stated as (
    select
        harm.course_id, harm.adverse_event_id, harm.day, harm.ctcae_grade as grade,
        case asked.related_to
            when 'procedure' then harm.related_procedure
            when 'harvest' then harm.related_harvest
            else harm.related_product
        end as relation
    from course.harm as harm
    inner join cohort.course as cohort on harm.course_id = cohort.course_id
    cross join cohort.harm as asked
    where
        (asked.category is null or harm.category = asked.category)
        and harm.ctcae_grade >= asked.least_grade
        and (not asked.serious or coalesce(harm.serious, false))
)

select
    course_id, adverse_event_id, day, grade,
    case
        when relation in ('possible', 'probable', 'definite') then 'related'
        when relation in ('not', 'unlikely') then 'not related'
        else 'not stated'
    end as relation
from stated
