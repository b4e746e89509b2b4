-- title: Categories of the rows of each group, plain and weighted: rows at each level, and the sum of their weights
-- grain: stratum, variable, level
-- source: reduction.profile_category; cohort.weight; level (missing) is of the rows for which it is not known
select
    chosen.stratum, held.variable, coalesce(held.level, '(missing)') as level,
    count(*) as n,
    sum(chosen.weight) as weight
from cohort.weight as chosen
inner join reduction.profile_category as held on chosen.course_id = held.course_id
group by chosen.stratum, held.variable, coalesce(held.level, '(missing)')
