-- title: The scale, baseline and fixed covariates of each course of the cohort, or why it cannot enter a booster trial
-- grain: course_id
-- source: course.course, profile, domain_scale, baseline; endpoint.decision_point, end_event, watch; cohort.course, cohort.booster
-- cut_day is the data cut, whatever came before it; a later course of the target ends this one (next_course_day).
with measured as (
    select
        cohort.course_id, cohort.patient_id, cohort.stratum,
        profile.index_date, profile.stage, profile.site, profile.origin, profile.centre, profile.age_year, profile.sex,
        profile.bmi, profile.symptom_months, course.next_course_day,
        date_diff('day', course.index_date, course.data_cut) as cut_day,
        question.definition, baseline.scale, baseline.worse100 as baseline
    from cohort.course as cohort
    inner join course.course as course on cohort.course_id = course.course_id
    inner join course.profile as profile on cohort.course_id = profile.course_id
    cross join cohort.booster as question
    left join course.domain_scale as chosen
        on cohort.course_id = chosen.course_id and question.domain = chosen.domain
    left join course.baseline as baseline
        on cohort.course_id = baseline.course_id and coalesce(question.scale, chosen.scale) = baseline.scale
),

points as (
    select
        course_id, definition,
        count(*) filter (where situation is not null) as n_without_response,
        count(*) filter (where situation is not null and asked) as n_asked
    from endpoint.decision_point
    group by course_id, definition
)

select
    measured.course_id, measured.patient_id, measured.stratum, measured.scale, measured.baseline,
    measured.stage, measured.site, measured.origin, measured.centre, measured.sex,
    cast(measured.age_year as decimal(12, 4)) as age,
    cast(measured.bmi as decimal(12, 4)) as bmi,
    cast(measured.symptom_months as decimal(12, 4)) as symptom_months,
    ending.day as end_day, ending.role as end_role, watch.watched_to_day, measured.cut_day, measured.next_course_day,
    case
        when measured.index_date is null then 'no treatment session'
        when measured.baseline is null then 'no baseline of the scale'
        when points.course_id is null then 'never judged once evaluation was due'
        when points.n_without_response = 0 then 'in response at every visit: no booster to decide on'
        when points.n_asked = 0 then 'no decision recorded where the centre keeps a log'
    end as reason
from measured
left join points on measured.course_id = points.course_id and measured.definition = points.definition
left join endpoint.end_event as ending on measured.course_id = ending.course_id
left join endpoint.watch as watch
    on measured.course_id = watch.course_id and measured.definition = watch.definition
    and watch.confirmation = 'first' and watch.early_visits = 'ignored'
