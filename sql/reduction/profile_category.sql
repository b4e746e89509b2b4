-- title: Categories of each course of the cohort at baseline; null: not known
-- grain: course_id, variable
-- source: course.profile, course.course; cohort.course
with facts as (
    select cohort.course_id, profile.sex, profile.diagnosis, profile.site, profile.origin, profile.donor,
        profile.product, profile.separation,
        case when profile.expanded then 'expanded' when not profile.expanded then 'not expanded' end as expanded,
        profile.route, profile.guidance, course.n_planned_sessions
    from cohort.course as cohort
    inner join course.profile as profile on cohort.course_id = profile.course_id
    inner join course.course as course on cohort.course_id = course.course_id
)

select course_id, 'sex' as variable, sex as level
from facts
union all
select course_id, 'diagnosis' as variable, diagnosis as level
from facts
union all
select course_id, 'site' as variable, site as level
from facts
union all
select course_id, 'origin' as variable, origin as level
from facts
union all
select course_id, 'donor' as variable, donor as level
from facts
union all
select course_id, 'product' as variable, product as level
from facts
union all
select course_id, 'separation' as variable, separation as level
from facts
union all
select course_id, 'expanded' as variable, expanded as level
from facts
union all
select course_id, 'route' as variable, route as level
from facts
union all
select course_id, 'guidance' as variable, guidance as level
from facts
union all
select course_id, 'planned_sessions' as variable, cast(n_planned_sessions as varchar) as level
from facts
