-- title: Numeric characteristics of each course of the cohort at baseline; null: not known
-- grain: course_id, variable
-- source: course.profile, domain_scale, baseline; cohort.course
with facts as (
    select cohort.course_id, profile.age_year, profile.bmi, profile.symptom_months,
        profile.dose_viable_million, profile.series_dose_million
    from cohort.course as cohort
    inner join course.profile as profile on cohort.course_id = profile.course_id
),

offered as (
    select distinct domain
    from catalogue.programme_scale
)

select course_id, 'age_year' as variable, cast(age_year as decimal(12, 4)) as x
from facts
union all
select course_id, 'bmi' as variable, bmi as x
from facts
union all
select course_id, 'symptom_months' as variable, cast(symptom_months as decimal(12, 4)) as x
from facts
union all
select course_id, 'dose_viable_million' as variable, cast(dose_viable_million as decimal(12, 4)) as x
from facts
union all
select course_id, 'series_dose_million' as variable, cast(series_dose_million as decimal(12, 4)) as x
from facts
union all
select cohort.course_id, concat('baseline_', offered.domain) as variable, baseline.worse100 as x
from cohort.course as cohort
cross join offered
left join course.domain_scale as chosen
    on cohort.course_id = chosen.course_id and offered.domain = chosen.domain
left join course.baseline as baseline on cohort.course_id = baseline.course_id and chosen.scale = baseline.scale
