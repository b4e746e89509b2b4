-- title: What was known at the first session of each course, and when and how it ended or was last heard of
-- grain: course_id
-- source: reduction.end_course, covariate
select
    ending.patient_id, ending.stratum, ending.cause, ending.day,
    known.*
from reduction.end_course as ending
inner join reduction.covariate as known on ending.course_id = known.course_id
