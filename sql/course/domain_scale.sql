-- title: The scale that stands for each domain in a course
-- grain: course_id, domain
-- source: catalogue.programme_scale; the first scale in its order that has a baseline, so that no course mixes scales
select
    baseline.course_id, offered.domain,
    min_by(offered.scale, offered.priority) as scale
from course.baseline as baseline
inner join course.course as course on baseline.course_id = course.course_id
inner join catalogue.programme_scale as offered
    on course.programme = offered.programme and baseline.scale = offered.scale
group by baseline.course_id, offered.domain
