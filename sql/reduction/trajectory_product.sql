-- title: Cross-products of covariates and changes by stratum and pattern of visits attended
-- grain: stratum, pattern, left_variable, right_variable
-- source: reduction.trajectory_course, trajectory_value; the likelihood of the repeated-measures model needs nothing else
-- The sums are of decimals, so they are exact, and those of several centres can be added.
with variables as (
    select course_id, 'intercept' as variable, cast(1 as decimal(12, 4)) as x
    from reduction.trajectory_course
    where reason is null
    union all
    select course_id, 'baseline' as variable, baseline as x
    from reduction.trajectory_course
    where reason is null
    union all
    select course_id, 'age' as variable, age as x
    from reduction.trajectory_course
    where reason is null and age is not null
    union all
    select course_id, 'female' as variable, female as x
    from reduction.trajectory_course
    where reason is null and female is not null
    union all
    select course_id, 'bmi' as variable, bmi as x
    from reduction.trajectory_course
    where reason is null and bmi is not null
    union all
    select course_id, concat('visit ', cast(position as varchar)) as variable, change as x
    from reduction.trajectory_value
),

patterns as (
    select course_id, string_agg(cast(position as varchar), ',' order by position) as pattern
    from reduction.trajectory_value
    group by course_id
)

select
    course.stratum,
    coalesce(patterns.pattern, '') as pattern,
    one.variable as left_variable,
    other.variable as right_variable,
    count(*) as n,
    sum(one.x * other.x) as total
from variables as one
inner join variables as other on one.course_id = other.course_id and one.variable <= other.variable
inner join reduction.trajectory_course as course on one.course_id = course.course_id
left join patterns on one.course_id = patterns.course_id
group by course.stratum, coalesce(patterns.pattern, ''), one.variable, other.variable
