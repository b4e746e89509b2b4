-- title: What was known at the first session of each course of the cohort, for adjusted models
-- grain: course_id
-- source: cohort.course; course.profile, domain_scale, baseline
-- The baseline is that of the pain scale, or of the one first in priority, from 0 (best) to 100 (worst); of several that are
-- first, of what patients and physicians judge before biomarkers, then of the domain that is first by its name.
with first_domain as (
    select
        chosen.course_id, baseline.worse100 as baseline,
        row_number() over (
            partition by chosen.course_id
            order by
                case when chosen.domain = 'pain' then 0 else offered.priority end,
                case when chosen.domain = 'biomarker' then 1 else 0 end, chosen.domain, chosen.scale
        ) as choice
    from course.domain_scale as chosen
    inner join course.baseline as baseline
        on chosen.course_id = baseline.course_id and chosen.scale = baseline.scale
    inner join course.course as course on chosen.course_id = course.course_id
    inner join catalogue.programme_scale as offered
        on course.programme = offered.programme and chosen.domain = offered.domain and chosen.scale = offered.scale
)

select
    cohort.course_id,
    cast(profile.age_year as double) as age,
    profile.sex,
    cast(profile.bmi as double) as bmi,
    cast(first_domain.baseline as double) as baseline,
    cast(profile.symptom_months as double) as symptom_months,
    profile.stage, profile.site, profile.origin, profile.donor, profile.separation,
    case when profile.expanded then 'expanded' when not profile.expanded then 'not expanded' end as expanded,
    case when profile.same_day then 'same day' when not profile.same_day then 'another day' end as same_day,
    cast(profile.viability_pct as double) as viability,
    profile.route, profile.guidance, profile.dose_band, profile.centre,
    cast(profile.dose_viable_million as double) as dose_million,
    cast(profile.series_dose_million as double) as series_dose_million
from cohort.course as cohort
inner join course.profile as profile on cohort.course_id = profile.course_id
left join first_domain on cohort.course_id = first_domain.course_id and first_domain.choice = 1
