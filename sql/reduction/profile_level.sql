-- title: Categories at baseline by stratum: courses at each level
-- grain: stratum, variable, level
-- source: course.profile, course.course; cohort.course; level (missing) counts the courses for which it is not known
with facts as (
    select cohort.course_id, cohort.stratum, profile.sex, profile.diagnosis, profile.site, profile.origin, profile.donor,
        profile.product, profile.route, profile.guidance, course.n_planned_sessions
    from cohort.course as cohort
    inner join course.profile as profile on cohort.course_id = profile.course_id
    inner join course.course as course on cohort.course_id = course.course_id
),

long as (
    select stratum, 'sex' as variable, sex as level
    from facts
    union all
    select stratum, 'diagnosis' as variable, diagnosis as level
    from facts
    union all
    select stratum, 'site' as variable, site as level
    from facts
    union all
    select stratum, 'origin' as variable, origin as level
    from facts
    union all
    select stratum, 'donor' as variable, donor as level
    from facts
    union all
    select stratum, 'product' as variable, product as level
    from facts
    union all
    select stratum, 'route' as variable, route as level
    from facts
    union all
    select stratum, 'guidance' as variable, guidance as level
    from facts
    union all
    select stratum, 'planned_sessions' as variable, cast(n_planned_sessions as varchar) as level
    from facts
)

select stratum, variable, coalesce(level, '(missing)') as level, count(*) as n
from long
group by stratum, variable, coalesce(level, '(missing)')
