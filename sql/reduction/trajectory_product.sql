-- title: Cross-products of covariates and changes by stratum and pattern of visits attended
-- grain: stratum, pattern, left_variable, right_variable
-- source: reduction.trajectory_course, trajectory_value; the likelihood of the repeated-measures model needs nothing else
-- The sums are of decimals, so they are exact, and those of several centres can be added. Products are summed under
-- numbers and named afterwards: visits by their position, covariates below them in the order of their names.
with patterns as (
    select course_id, string_agg(cast(position as varchar), ',' order by position) as pattern
    from reduction.trajectory_value
    group by course_id
),

placed as (
    select
        course.course_id, course.stratum, coalesce(patterns.pattern, '') as pattern,
        course.baseline, course.age, course.female, course.bmi,
        dense_rank() over (order by course.stratum, coalesce(patterns.pattern, '')) as cell
    from reduction.trajectory_course as course
    left join patterns on course.course_id = patterns.course_id
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
    from placed
    where age is not null
    union all
    select course_id, cell, -2 as variable, female as x
    from placed
    where female is not null
    union all
    select course_id, cell, -3 as variable, bmi as x
    from placed
    where bmi is not null
    union all
    select placed.course_id, placed.cell, value.position as variable, value.change as x
    from placed
    inner join reduction.trajectory_value as value on placed.course_id = value.course_id
),

summed as (
    select one.cell, one.variable as left_number, other.variable as right_number, count(*) as n, sum(one.x * other.x) as total
    from variables as one
    inner join variables as other on one.course_id = other.course_id and one.variable <= other.variable
    group by one.cell, one.variable, other.variable
),

cells as (
    select distinct cell, stratum, pattern
    from placed
),

names as (
    select distinct
        right_number as number,
        case right_number
            when -5 then 'age' when -4 then 'baseline' when -3 then 'bmi' when -2 then 'female' when -1 then 'intercept'
            else concat('visit ', cast(right_number as varchar))
        end as name
    from summed
)

select
    cells.stratum, cells.pattern, lefts.name as left_variable, rights.name as right_variable, summed.n, summed.total
from summed
inner join cells on summed.cell = cells.cell
inner join names as lefts on summed.left_number = lefts.number
inner join names as rights on summed.right_number = rights.number
