-- title: Baseline of each scale: the last value in the window before the first session
-- grain: course_id, scale
-- source: course.score; window in catalogue.programme
with before as (
    select score.course_id, score.scale, score.day, score.value, score.worse100, score.source_id, course.programme
    from course.score as score
    inner join course.course as course on score.course_id = course.course_id
    where score.day <= 0
)

select
    before.course_id, before.scale,
    max(before.day) as day,
    max_by(before.value, before.day) as value,
    max_by(before.worse100, before.day) as worse100,
    max_by(before.source_id, before.day) as source_id
from before
inner join catalogue.programme as programme
    on before.programme = programme.programme and programme.baseline_window_day >= -before.day
group by before.course_id, before.scale
