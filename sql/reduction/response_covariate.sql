-- title: What was known at the first session of each course whose response is judged, and when it responded
-- grain: course_id
-- source: reduction.response_course, covariate
select
    response.patient_id, response.stratum, response.kind, response.left_day, response.right_day,
    known.*
from reduction.response_course as response
inner join reduction.covariate as known on response.course_id = known.course_id
