-- title: What is known of each course at its first session
-- grain: course_id
-- source: record.patient, target, condition, product, processing; course.course, course.stage, course.baseline
-- renewed: whole; reads the data cut
with diagnosis as (
    select target_id, min(diagnosis) as diagnosis, max(symptom_months) as symptom_months
    from record.condition
    group by target_id
),

weight as (
    select course_id, value as weight_kg
    from course.baseline
    where scale = 'body_weight'
),

series as (
    select
        course_id,
        -- A session of unknown dose makes the dose of the series unknown, not smaller.
        case
            when count(*) filter (where role in ('initial', 'planned') and dose_viable_million is null) = 0
            then sum(dose_viable_million) filter (where role in ('initial', 'planned'))
        end as series_dose_million
    from course.session
    group by course_id
)

select
    course.course_id, course.patient_id, course.target_id, course.programme, course.course_no, course.index_date,
    course.potential_follow_up_day, course.next_course_day, course.n_boosters, consent.withdrawn_all,
    target.site, target.side, diagnosis.diagnosis, diagnosis.symptom_months,
    stage.stage, stage.scheme, stage.grade,
    centre.centre, patient.sex, year(course.index_date) - patient.birth_year as age_year,
    cast(round(
        10000 * cast(weight.weight_kg as double) / nullif(cast(patient.height_cm * patient.height_cm as double), 0), 4
    ) as decimal(12, 4)) as bmi,
    product.product, product.donor, product.origin, product.separation, product.expanded,
    product.viability_pct, processing.same_day,
    session.route, session.guidance, session.dose_viable_million, series.series_dose_million,
    case
        when session.dose_viable_million < 50 then '<50 million'
        when session.dose_viable_million <= 100 then '50-100 million'
        when session.dose_viable_million > 100 then '>100 million'
    end as dose_band
from course.course as course
inner join record.patient as patient on course.patient_id = patient.id
inner join staging.consent as consent on course.patient_id = consent.patient_id
inner join record.target as target on course.target_id = target.id
left join record.centre as centre on patient.centre_id = centre.id
left join diagnosis on course.target_id = diagnosis.target_id
left join course.stage as stage on course.course_id = stage.course_id and stage.stage_map = 'default'
left join course.session as session on course.index_session_id = session.session_id
left join record.product as product on session.product_id = product.id
left join record.processing as processing on product.id = processing.product_id
left join weight on course.course_id = weight.course_id
left join series on course.course_id = series.course_id
