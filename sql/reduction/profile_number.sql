-- title: Numeric characteristics at baseline by stratum: known and missing, mean, standard deviation, quartiles
-- grain: stratum, variable
-- source: reduction.profile_value; cohort.course; stratum '' is the whole cohort
-- Quartiles interpolate between the two nearest order statistics (Hyndman & Fan 1996, type 7). Sums of decimals are exact.
with long as (
    select cohort.stratum, held.variable, held.x
    from reduction.profile_value as held
    inner join cohort.course as cohort on held.course_id = cohort.course_id
),

grouped as (
    select stratum, variable, x
    from long
    union all
    select null as stratum, variable, x
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
