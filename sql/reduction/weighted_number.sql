-- title: Numbers known of the rows of each group, plain and weighted: known and missing, sums for mean and variance
-- grain: stratum, variable
-- source: reduction.profile_value; cohort.weight (a row a course, or a decision of one), weight_value (what the user adds)
-- Sums of decimals are exact, whatever the order of the rows. Products are of 18 and 19 digits: of fewer one engine keeps 18, of
-- more another gives up decimals. That of three is rounded to eight decimals before it is summed.
with long as (
    select chosen.stratum, cast(chosen.weight as decimal(19, 6)) as weight, held.variable, cast(held.x as decimal(19, 4)) as x
    from cohort.weight as chosen
    inner join reduction.profile_value as held on chosen.course_id = held.course_id
    union all
    select chosen.stratum, cast(chosen.weight as decimal(19, 6)) as weight, added.variable, cast(added.x as decimal(19, 4)) as x
    from cohort.weight as chosen
    inner join cohort.weight_value as added on chosen.row_no = added.row_no
)

select
    stratum, variable,
    count(*) as n,
    count(x) as n_known,
    sum(x) as total,
    sum(cast(x as decimal(18, 4)) * x) as square,
    sum(weight) as weight,
    sum(cast(weight as decimal(18, 6)) * weight) as weight_square,
    sum(case when x is not null then weight end) as known_weight,
    sum(case when x is not null then cast(weight as decimal(18, 6)) * weight end) as known_weight_square,
    sum(cast(weight as decimal(18, 6)) * x) as weighted_total,
    sum(cast(cast(weight as double) * cast(x as double) * cast(x as double) as decimal(38, 8))) as weighted_square
from long
group by stratum, variable
