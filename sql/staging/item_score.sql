-- title: Scores computed from questionnaire items
-- grain: item_score_id
-- source: record.item_response by the published rules of catalogue.scoring; KOOS Scoring 2012 and others named there
-- The share of the points that the answered items could give, carried to the scale: mean imputation of missing items
-- and heterogeneous items follow from the one formula. Fewer answers than the rule needs: no value.
with answers as (
    select
        response.id, response.patient_id, response.target_id, response.date,
        item.scale, response.answer - item.low as points, item.high - item.low as points_possible
    from record.item_response as response
    inner join catalogue.item as item
        on response.instrument = item.instrument
        and response.version is not distinct from item.version
        and response.item = item.item
),

sums as (
    select
        patient_id, target_id, date, scale,
        min(id) as item_score_id,
        sum(points) as points,
        sum(points_possible) as points_possible,
        count(*) as n_answered
    from answers
    group by patient_id, target_id, date, scale
)

select
    sums.item_score_id, sums.patient_id, sums.target_id, sums.date, sums.scale, sums.n_answered,
    scoring.n_items,
    scoring.n_items - sums.n_answered as n_imputed,
    case when sums.n_answered >= scoring.n_needed then cast(
        scoring.score_at_low
        + (scoring.score_at_high - scoring.score_at_low) * sums.points / nullif(sums.points_possible, 0)
        as decimal(12, 4))
    end as value
from sums
inner join catalogue.scoring as scoring on sums.scale = scoring.scale
