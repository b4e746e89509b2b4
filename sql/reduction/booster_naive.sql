-- title: The naive comparison: courses ever boosted against courses never boosted, by what the last visit showed
-- grain: stratum, ever_boosted
-- source: reduction.booster_course; course.score, session; endpoint.decision_point; catalogue.loss_definition
-- What a look at the data would count: the last score, the last state, ends, and last scores worse than the best.
-- It is wrong on purpose: a booster needs a benefit that fades, and time to be given. The result shows it beside its own.
with last_score as (
    select
        course.course_id,
        max_by(course.baseline - score.worse100, score.day) as improvement,
        max(course.baseline - score.worse100) as best
    from reduction.booster_course as course
    inner join course.score as score on course.course_id = score.course_id and course.scale = score.scale
    where score.day > 0 and score.day <= coalesce(course.end_day, 100000)
    group by course.course_id
),

last_state as (
    select point.course_id, max_by(case when point.met then 1 else 0 end, point.visit_day) as met
    from endpoint.decision_point as point
    inner join cohort.booster as question on point.definition = question.definition
    group by point.course_id
),

-- By how much a score must be worse than at best to count as loss, where the programme has such a rule.
worse as (
    select course.course_id, min(rule.worsening_min) as worsening_min
    from cohort.course as cohort
    inner join course.course as course on cohort.course_id = course.course_id
    inner join catalogue.loss_definition as rule on course.programme = rule.programme
    where rule.worsening_min is not null
    group by course.course_id
),

boosted as (
    select distinct course_id
    from course.session
    where role = 'booster'
)

select
    course.stratum,
    boosted.course_id is not null as ever_boosted,
    count(*) as n,
    count(last_score.improvement) as n_scored,
    sum(last_score.improvement) as total,
    sum(last_score.improvement * last_score.improvement) as total_squares,
    count(last_state.met) as n_judged,
    cast(coalesce(sum(last_state.met), 0) as bigint) as n_in_response,
    count(*) filter (where course.end_role = 'end' and course.end_day <= course.watched_to_day) as n_ended,
    count(*) filter (
        where last_score.best - last_score.improvement + 0.0005 >= worse.worsening_min
        or (course.end_role <> 'death' and course.end_day <= course.watched_to_day)
    ) as n_lost_or_ended
from reduction.booster_course as course
left join last_score on course.course_id = last_score.course_id
left join last_state on course.course_id = last_state.course_id
left join boosted on course.course_id = boosted.course_id
left join worse on course.course_id = worse.course_id
where course.baseline is not null
group by course.stratum, boosted.course_id is not null
