-- title: Courses of the cohort as rows that may leave: days instead of dates, nothing that names a person
-- grain: course_id
-- source: course.profile, course.follow_up, course.session; cohort.course. Dose of the first session and of its series.
with sessions as (
    select
        course_id,
        count(*) as n_sessions,
        count(*) filter (where role = 'booster') as n_boosters
    from course.session
    group by course_id
)

select
    profile.course_id, profile.patient_id, profile.course_no, profile.site, profile.side, profile.diagnosis,
    profile.stage, profile.centre, profile.sex, profile.age_year, profile.bmi, profile.donor, profile.origin,
    profile.separation, profile.expanded, profile.route, profile.guidance, profile.dose_viable_million,
    profile.series_dose_million, sessions.n_sessions, sessions.n_boosters,
    profile.potential_follow_up_day, follow_up.last_assessed_day
from cohort.course as cohort
inner join course.profile as profile on cohort.course_id = profile.course_id
left join course.follow_up as follow_up on profile.course_id = follow_up.course_id
left join sessions on profile.course_id = sessions.course_id
