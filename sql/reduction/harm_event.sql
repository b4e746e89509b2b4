-- title: The adverse events that are asked about, by course and day
-- grain: course_id, day
-- source: course.harm, follow_up; cohort.course, cohort.harm (one row: category, least_grade, serious, related_to)
-- `watched`: by the last contact. A later event is known only because it happened, so it has no time to be counted over.
select harm.course_id, harm.day, harm.day <= coalesce(follow_up.last_contact_day, 0) as watched, count(*) as n
from course.harm as harm
inner join cohort.course as cohort on harm.course_id = cohort.course_id
inner join course.follow_up as follow_up on harm.course_id = follow_up.course_id
cross join cohort.harm as asked
where
    (asked.category is null or harm.category = asked.category)
    and harm.ctcae_grade >= asked.least_grade
    and (not asked.serious or coalesce(harm.serious, false))
    and (
        asked.related_to is null
        or (asked.related_to = 'product' and harm.related_product in ('possible', 'probable', 'definite'))
        or (asked.related_to = 'procedure' and harm.related_procedure in ('possible', 'probable', 'definite'))
        or (asked.related_to = 'harvest' and harm.related_harvest in ('possible', 'probable', 'definite'))
    )
group by all
