-- title: Numbers known of the rows of each group, plain and weighted: known and missing, sums for mean and variance
-- grain: stratum, variable
-- source: reduction.profile_value; cohort.weight (a row a course, or a decision of one), weight_value (what the user adds)
-- Sums of decimals are exact, whatever the order of the rows; of twenty digits, since products of fewer are kept to 18.
with long as (
    select chosen.stratum, chosen.weight, held.variable, cast(held.x as decimal(20, 4)) as x
    from cohort.weight as chosen
    inner join reduction.profile_value as held on chosen.course_id = held.course_id
    union all
    select chosen.stratum, chosen.weight, added.variable, cast(added.x as decimal(20, 4)) as x
    from cohort.weight as chosen
    inner join cohort.weight_value as added on chosen.row_no = added.row_no
)

select
    stratum, variable,
    count(*) as n,
    count(x) as n_known,
    sum(x) as total,
    sum(x * x) as square,
    sum(weight) as weight,
    sum(weight * weight) as weight_square,
    sum(case when x is not null then weight end) as known_weight,
    sum(case when x is not null then weight * weight end) as known_weight_square,
    sum(weight * x) as weighted_total,
    sum(weight * x * x) as weighted_square
from long
group by stratum, variable
