-- title: Baseline of each scale: the last value in the window before the first session
-- grain: course_id, scale
-- source: course.score; window in catalogue.programme
select
    score.course_id, score.scale,
    max(score.day) as day,
    max_by(score.value, score.day) as value,
    max_by(score.worse100, score.day) as worse100,
    max_by(score.source_id, score.day) as source_id
from course.score as score
inner join course.course as course on score.course_id = course.course_id
inner join catalogue.programme as programme on course.programme = programme.programme
where score.day <= 0 and score.day >= -programme.baseline_window_day
group by score.course_id, score.scale
