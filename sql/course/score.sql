-- title: Scores by day of the course
-- grain: course_id, scale, day
-- source: staging.score; a score of the whole patient counts for each of the patient's courses
-- A score on the day of the next course closes this one and opens the next: it was taken before the treatment.
with of_target as (
    select course.course_id, score.scale, date_diff('day', course.index_date, score.date) as day,
        score.value, score.worse100, score.source_table, score.source_id, course.next_course_day
    from staging.score as score
    inner join course.course as course on score.target_id = course.target_id
),

of_patient as (
    select course.course_id, score.scale, date_diff('day', course.index_date, score.date) as day,
        score.value, score.worse100, score.source_table, score.source_id, course.next_course_day
    from staging.score as score
    inner join course.course as course on score.patient_id = course.patient_id
    where
        score.target_id is null
        and not exists (
            select 1 from staging.score as own
            where own.target_id = course.target_id and own.scale = score.scale and own.date = score.date
        )
),

both_kinds as (
    select * from of_target
    union all
    select * from of_patient
)

select course_id, scale, day, value, worse100, source_table, source_id
from both_kinds
where day >= -730 and day <= coalesce(next_course_day, 100000)
