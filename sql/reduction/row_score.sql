-- title: Scores of the cohort on the programme's scales as rows that may leave, with their baseline and improvement
-- grain: course_id, scale, day
-- source: course.score, course.baseline, course.planned_score; improvement is positive whatever the scale's direction
select
    score.course_id, score.scale, score.day, planned.planned_visit,
    score.value, baseline.value as baseline,
    case scale.direction when 'higher_better' then score.value - baseline.value else baseline.value - score.value end
        as improvement,
    score.day = baseline.day as is_baseline
from cohort.course as cohort
inner join course.course as course on cohort.course_id = course.course_id
inner join course.score as score on cohort.course_id = score.course_id
inner join catalogue.programme_scale as offered
    on course.programme = offered.programme and score.scale = offered.scale
inner join catalogue.scale as scale on score.scale = scale.scale
left join course.baseline as baseline on score.course_id = baseline.course_id and score.scale = baseline.scale
left join course.planned_score as planned
    on score.course_id = planned.course_id and score.scale = planned.scale and score.day = planned.day
    and planned.choice = 1
where score.value is not null
