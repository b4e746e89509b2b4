-- title: Adverse events of the cohort as rows that may leave
-- grain: course_id, adverse_event_id
-- source: course.harm; cohort.course
select
    harm.course_id, harm.adverse_event_id, harm.day, harm.category, harm.ctcae_grade, harm.serious,
    harm.related_product, harm.related_procedure, harm.related_harvest
from cohort.course as cohort
inner join course.harm as harm on cohort.course_id = harm.course_id
