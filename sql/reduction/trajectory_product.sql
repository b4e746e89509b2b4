-- title: Cross-products of covariates and changes by stratum and pattern of visits attended
-- grain: stratum, pattern, left_variable, right_variable
-- source: reduction.trajectory_course, trajectory_value; the likelihood of the repeated-measures model needs nothing else
-- The sums are of decimals, so they are exact, and those of several centres can be added. Summed under numbers and named
-- at the end: a cell by its first course, visits by their position, covariates below them by name, stages last.
with attended as (
    select course_id, sum(power(2, position)) as visits
    from reduction.trajectory_value
    group by course_id
),

placed as (
    select
        course.course_id, course.stratum, course.baseline, course.age, course.female, course.bmi, course.stage,
        case when course.stage is not null then -5 - dense_rank() over (order by course.stage) end as stage_variable,
        min(course.course_id) over (partition by course.stratum, coalesce(attended.visits, 0)) as cell
    from reduction.trajectory_course as course
    left join attended on course.course_id = attended.course_id
    where course.reason is null
),

variables as (
    select course_id, cell, -1 as variable, cast(1 as decimal(12, 4)) as x
    from placed
    union all
    select course_id, cell, -4 as variable, baseline as x
    from placed
    union all
    select course_id, cell, -5 as variable, age as x
    from placed where age is not null
    union all
    select course_id, cell, -2 as variable, female as x
    from placed where female is not null
    union all
    select course_id, cell, -3 as variable, bmi as x
    from placed where bmi is not null
    union all
    select course_id, cell, stage_variable as variable, 1 as x
    from placed where stage is not null
    union all
    select placed.course_id, placed.cell, value.position as variable, value.change as x
    from placed
    inner join reduction.trajectory_value as value on placed.course_id = value.course_id
),

summed as (
    select one.cell, one.variable as low, other.variable as high, count(*) as n, sum(one.x * other.x) as total
    from variables as one
    inner join variables as other on one.course_id = other.course_id and one.variable <= other.variable
    group by one.cell, one.variable, other.variable
),

patterns as (
    select placed.cell, placed.stratum, string_agg(cast(value.position as varchar), ',' order by value.position) as pattern
    from placed
    left join reduction.trajectory_value as value on placed.course_id = value.course_id
    where placed.course_id = placed.cell
    group by placed.cell, placed.stratum
),

names as (
    select distinct
        summed.high as number,
        case summed.high
            when -5 then 'age' when -4 then 'baseline' when -3 then 'bmi' when -2 then 'female' when -1 then 'intercept'
            else coalesce('stage ' || stages.stage, concat('visit ', cast(summed.high as varchar)))
        end as name
    from summed
    left join (select distinct stage, stage_variable from placed) as stages on summed.high = stages.stage_variable
)

select
    patterns.stratum, coalesce(patterns.pattern, '') as pattern, lefts.name as left_variable, rights.name as right_variable,
    summed.n, summed.total
from summed
inner join patterns on summed.cell = patterns.cell
inner join names as lefts on summed.low = lefts.number
inner join names as rights on summed.high = rights.number
