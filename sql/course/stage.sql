-- title: Severity stage at baseline
-- grain: course_id, stage_map
-- source: staging.severity; the programme's first scheme, the nearest grade before the first session, else shortly after
with candidates as (
    select
        course.course_id, severity.stage_map, severity.stage, severity.scheme, severity.grade,
        severity.stage_assessment_id, severity.reader, scheme.priority,
        date_diff('day', course.index_date, severity.date) as day,
        programme.stage_window_before_day, programme.stage_window_after_day
    from staging.severity as severity
    inner join course.course as course on severity.target_id = course.target_id
    inner join catalogue.programme as programme on course.programme = programme.programme
    inner join catalogue.programme_scheme as scheme
        on course.programme = scheme.programme and severity.scheme = scheme.scheme
),

nearest as (
    select course_id, stage_map, stage, scheme, grade, stage_assessment_id, day
    from candidates
    where day >= -stage_window_before_day and day <= stage_window_after_day
    qualify row_number() over (
        partition by course_id, stage_map
        order by priority, case when day > 0 then 1 else 0 end, abs(day), stage_assessment_id
    ) = 1
),

-- A programme without a grading scheme has one stage, the same for everyone.
single as (
    select course.course_id, 'default' as stage_map, stage.stage
    from course.course as course
    inner join catalogue.stage as stage on course.programme = stage.programme
    where not exists (
        select 1 from catalogue.programme_scheme as scheme where scheme.programme = course.programme
    )
)

select course_id, stage_map, stage, scheme, grade, stage_assessment_id as source_id, day
from nearest
union all
select course_id, stage_map, stage, null, null, null, null
from single
