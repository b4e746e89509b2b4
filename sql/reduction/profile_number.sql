-- title: Numeric characteristics at baseline by stratum: known and missing, mean, standard deviation, quartiles
-- grain: stratum, variable
-- source: course.profile, course.course, domain_scale, baseline; cohort.course; stratum null is the whole cohort
-- Quartiles interpolate between the two nearest order statistics (Hyndman & Fan 1996, type 7). Sums of decimals are exact.
with facts as (
    select cohort.course_id, cohort.stratum, profile.age_year, profile.bmi, profile.symptom_months,
        profile.dose_viable_million, profile.series_dose_million
    from cohort.course as cohort
    inner join course.profile as profile on cohort.course_id = profile.course_id
),

offered as (
    select distinct domain
    from catalogue.programme_scale
),

long as (
    select course_id, stratum, 'age_year' as variable, cast(age_year as decimal(12, 4)) as x
    from facts
    union all
    select course_id, stratum, 'bmi' as variable, bmi as x
    from facts
    union all
    select course_id, stratum, 'symptom_months' as variable, cast(symptom_months as decimal(12, 4)) as x
    from facts
    union all
    select course_id, stratum, 'dose_viable_million' as variable, cast(dose_viable_million as decimal(12, 4)) as x
    from facts
    union all
    select course_id, stratum, 'series_dose_million' as variable, cast(series_dose_million as decimal(12, 4)) as x
    from facts
    union all
    select cohort.course_id, cohort.stratum, concat('baseline_', offered.domain) as variable, baseline.worse100 as x
    from cohort.course as cohort
    cross join offered
    left join course.domain_scale as chosen
        on cohort.course_id = chosen.course_id and offered.domain = chosen.domain
    left join course.baseline as baseline on cohort.course_id = baseline.course_id and chosen.scale = baseline.scale
),

grouped as (
    select course_id, stratum, variable, x
    from long
    union all
    select course_id, null as stratum, variable, x
    from long
),

ranked as (
    select stratum, variable, x,
        row_number() over (partition by stratum, variable order by x nulls last) - 1 as place,
        count(x) over (partition by stratum, variable) - 1 as last_place
    from grouped
)

select
    coalesce(stratum, '') as stratum, variable,
    count(*) as n,
    count(x) as n_known,
    sum(x) as total,
    sum(x * x) as square,
    max(x) filter (where place = floor(0.25 * last_place)) as q1_below,
    max(x) filter (where place = ceil(0.25 * last_place)) as q1_above,
    max(x) filter (where place = floor(0.5 * last_place)) as q2_below,
    max(x) filter (where place = ceil(0.5 * last_place)) as q2_above,
    max(x) filter (where place = floor(0.75 * last_place)) as q3_below,
    max(x) filter (where place = ceil(0.75 * last_place)) as q3_above
from ranked
group by stratum, variable
