-- title: Categories at baseline by stratum: courses at each level
-- grain: stratum, variable, level
-- source: reduction.profile_category; cohort.course; level (missing) counts the courses for which it is not known
select cohort.stratum, held.variable, coalesce(held.level, '(missing)') as level, count(*) as n
from reduction.profile_category as held
inner join cohort.course as cohort on held.course_id = cohort.course_id
group by cohort.stratum, held.variable, coalesce(held.level, '(missing)')
