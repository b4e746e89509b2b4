-- title: Every measured value in the unit of its scale, and as 0 (best) to 100 (worst)
-- grain: score_id
-- source: staging.consent; record.measurement; staging.item_score where items exist, in place of a reported score of the same day
with reported as (
    select
        measurement.id as score_id, measurement.patient_id, measurement.target_id, measurement.date, measurement.scale,
        cast(measurement.value * coalesce(conversion.factor, 1) as decimal(12, 4)) as value,
        'measurement' as source_table
    from record.measurement as measurement
    left join catalogue.unit_conversion as conversion
        on measurement.scale = conversion.scale and measurement.unit = conversion.unit
    left join staging.item_score as computed
        on measurement.scale = computed.scale and measurement.patient_id = computed.patient_id
        and measurement.target_id is not distinct from computed.target_id and measurement.date = computed.date
        and computed.value is not null
    where measurement.value is not null and computed.item_score_id is null
),

computed as (
    select item_score_id as score_id, patient_id, target_id, date, scale, value, 'item_response' as source_table
    from staging.item_score
    where value is not null
),

scores as (
    select * from reported
    union all
    select * from computed
)

select
    scores.score_id, scores.patient_id, scores.target_id, scores.date, scores.scale, scores.value,
    cast(case scale.direction
        when 'lower_better' then 100 * (scores.value - scale.low) / nullif(scale.high - scale.low, 0)
        when 'higher_better' then 100 * (scale.high - scores.value) / nullif(scale.high - scale.low, 0)
    end as decimal(12, 4)) as worse100,
    scores.source_table,
    scores.score_id as source_id
from scores
inner join catalogue.scale as scale on scores.scale = scale.scale
inner join staging.consent as consent on scores.patient_id = consent.patient_id
where
    not consent.withdrawn_all
    and scores.date <= coalesce(consent.until_date, scores.date)
