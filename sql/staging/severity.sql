-- title: Severity grades as stages
-- grain: stage_assessment_id, stage_map
-- source: record.stage_assessment through catalogue.stage_map
-- renewed: whole; rows of no course yet
select
    assessment.id as stage_assessment_id, meaning.stage_map,
    assessment.target_id, assessment.date, assessment.scheme, assessment.grade, assessment.reader,
    meaning.stage
from record.stage_assessment as assessment
inner join catalogue.stage_map as meaning on assessment.scheme = meaning.scheme and assessment.grade = meaning.grade
