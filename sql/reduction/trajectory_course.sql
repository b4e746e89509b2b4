-- title: The scale, baseline and covariates of each course of the cohort, or why it cannot be analysed
-- grain: course_id
-- source: course.profile, domain_scale, baseline; cohort.course (course_id, patient_id, stratum); cohort.trajectory (one row)
-- Covariates that the question does not ask for are null, and nobody leaves for them; none is ever imputed.
with measured as (
    select
        cohort.course_id, cohort.patient_id, cohort.stratum, profile.index_date, profile.age_year, profile.sex, profile.bmi,
        profile.stage, question.adjust_age, question.adjust_sex, question.adjust_bmi, question.adjust_stage,
        baseline.scale,
        case when question.unit = 'native' then baseline.value else baseline.worse100 end as baseline
    from cohort.course as cohort
    inner join course.profile as profile on cohort.course_id = profile.course_id
    cross join cohort.trajectory as question
    left join course.domain_scale as chosen
        on cohort.course_id = chosen.course_id and question.domain = chosen.domain
    left join course.baseline as baseline
        on cohort.course_id = baseline.course_id and coalesce(question.scale, chosen.scale) = baseline.scale
)

select
    course_id, patient_id, stratum, scale,
    cast(baseline as decimal(12, 4)) as baseline,
    cast(case when adjust_age then age_year end as decimal(12, 4)) as age,
    cast(case when adjust_sex and sex = 'female' then 1 when adjust_sex and sex = 'male' then 0 end as decimal(12, 4)) as female,
    cast(case when adjust_bmi then bmi end as decimal(12, 4)) as bmi,
    case when adjust_stage then stage end as stage,
    case
        when index_date is null then 'no treatment session'
        when baseline is null then 'no baseline of the scale'
        when adjust_age and age_year is null then 'age not recorded'
        when adjust_sex and coalesce(sex, 'unknown') not in ('female', 'male') then 'sex not recorded as female or male'
        when adjust_bmi and bmi is null then 'body-mass index not known'
        when adjust_stage and stage is null then 'no stage recorded'
    end as reason
from measured
