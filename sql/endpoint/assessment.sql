-- title: Whether a response definition was met on each day it could be judged
-- grain: course_id, definition, day
-- source: course.score against course.baseline, by catalogue.definition_arm and definition_criterion
-- Three-valued: an arm is met when enough of its criteria are, not met when enough cannot be any more, else not known.
-- A criterion on a named scale that the course does not use does not apply; a domain nobody measured is not known.
-- Scores are held to four decimals; half a thousandth of slack keeps an exact tie on the right side.
with criteria as (
    select
        course.course_id, used.definition, criterion.arm, criterion.basis, criterion.improvement_min,
        criterion.relative_min, criterion.level, scale.direction,
        coalesce(criterion.scale, chosen.scale) as scale,
        case when criterion.basis = 'native' then baseline.value else baseline.worse100 end as baseline,
        coalesce(ending.day, 100000) as end_day,
        criterion.domain is not null
        or baseline.scale is not null
        or (criterion.improvement_min is null and criterion.relative_min is null) as applicable
    from course.course as course
    inner join endpoint.definition_use as used on course.programme = used.programme
    inner join catalogue.definition_criterion as criterion on used.definition = criterion.definition
    left join course.domain_scale as chosen
        on course.course_id = chosen.course_id and criterion.domain = chosen.domain
    left join course.baseline as baseline
        on course.course_id = baseline.course_id and coalesce(criterion.scale, chosen.scale) = baseline.scale
    left join catalogue.scale as scale on coalesce(criterion.scale, chosen.scale) = scale.scale
    left join endpoint.end_event as ending on course.course_id = ending.course_id
),

changes as (
    select
        criteria.course_id, criteria.definition, criteria.arm, score.day, score.source_id,
        criteria.improvement_min, criteria.relative_min, criteria.level, criteria.baseline,
        case when criteria.basis = 'native' then score.value else score.worse100 end as value,
        case when criteria.basis = 'native' and criteria.direction = 'higher_better' then -1 else 1 end as sign
    from criteria
    inner join course.score as score on criteria.course_id = score.course_id and criteria.scale = score.scale
    where criteria.applicable and score.day > 0 and score.day <= criteria.end_day
),

judged as (
    select
        course_id, definition, arm, day, source_id,
        (improvement_min is null or sign * (baseline - value) + 0.0005 >= improvement_min)
        and (relative_min is null or (baseline > 0 and sign * (baseline - value) + 0.0005 >= relative_min * baseline))
        and (level is null or sign * (level - value) + 0.0005 >= 0) as met
    from changes
),

arms as (
    select
        judged.course_id, judged.definition, judged.day, judged.arm,
        min(judged.source_id) as source_id,
        count(*) filter (where judged.met) as n_met,
        count(*) filter (where judged.met is not null) as n_known
    from judged
    group by judged.course_id, judged.definition, judged.day, judged.arm
),

sizes as (
    select
        criteria.course_id, criteria.definition, criteria.arm, arm.n_needed,
        count(*) filter (where criteria.applicable) as n_criteria
    from criteria
    inner join catalogue.definition_arm as arm on criteria.definition = arm.definition and criteria.arm = arm.arm
    group by criteria.course_id, criteria.definition, criteria.arm, arm.n_needed
),

counted as (
    select course_id, definition, count(*) as n_arms
    from sizes
    where n_criteria > 0
    group by course_id, definition
)

select
    arms.course_id, arms.definition, arms.day,
    case
        when count(*) filter (where arms.n_met >= sizes.n_needed) > 0 then true
        when
            count(*) filter (where arms.n_met + sizes.n_criteria - arms.n_known < sizes.n_needed) = min(counted.n_arms)
            then false
    end as met,
    'staging.score' as source_table,
    min(arms.source_id) as source_id
from arms
inner join sizes
    on arms.course_id = sizes.course_id and arms.definition = sizes.definition and arms.arm = sizes.arm
inner join counted on arms.course_id = counted.course_id and arms.definition = counted.definition
group by arms.course_id, arms.definition, arms.day
