-- title: Every visit with a score after treatment: what was known then, whether a booster was decided on, and what came next
-- grain: course_id, visit_day
-- source: reduction.booster_course; course.score, session; endpoint.decision_point; catalogue.programme_visit; cohort.booster
-- Improvement is positive. A visit shows what was known on its day: the score, the one before, the best so far, never a
-- later one. Scores after the end of the target are set aside. next_state says how the watching went on after the visit:
-- a later course of the target ends this one, and a planned visit that was missed although it was due means lost.
with scores as (
    select
        course.course_id, score.day as visit_day, score.source_id,
        cast(course.baseline - score.worse100 as decimal(12, 4)) as improvement
    from reduction.booster_course as course
    inner join course.score as score on course.course_id = score.course_id and course.scale = score.scale
    where
        course.reason is null and score.worse100 is not null and score.day > 0
        and score.day <= least(coalesce(course.end_day, 100000), coalesce(course.next_course_day, 100000))
),

followed as (
    select
        course_id, visit_day, source_id, improvement,
        coalesce(lag(improvement) over sequence, 0) as previous,
        greatest(max(improvement) over (
            partition by course_id order by visit_day rows between unbounded preceding and current row
        ), 0) as best,
        first_value(improvement) over sequence as earliest,
        row_number() over sequence as visit_no,
        lead(visit_day) over sequence as next_day
    from scores
    window sequence as (partition by course_id order by visit_day)
),

-- The first planned visit still ahead: whoever missed it, although it was due, was lost.
ahead as (
    select followed.course_id, followed.visit_day, min(planned.window_high_day) as window_high_day
    from followed
    inner join course.course as course on followed.course_id = course.course_id
    inner join catalogue.programme_visit as planned
        on course.programme = planned.programme and planned.window_low_day > followed.visit_day
    where followed.next_day is null
    group by followed.course_id, followed.visit_day
),

sessions as (
    select
        followed.course_id, followed.visit_day,
        max(session.day) as last_session_day,
        count(*) filter (where session.role = 'booster') as n_boosters_before
    from followed
    inner join course.session as session
        on followed.course_id = session.course_id and session.day < followed.visit_day
    group by followed.course_id, followed.visit_day
)

select
    course.course_id, course.patient_id, course.stratum, followed.visit_day,
    coalesce(point.day, followed.visit_day) as zero_day,
    followed.improvement, followed.previous, followed.best, followed.earliest, followed.visit_no,
    point.met, coalesce(point.met_before, false) as met_before, point.situation, point.origin,
    coalesce(point.asked, false) as asked, point.decided, point.cost_barrier, point.booster_day,
    sessions.n_boosters_before, followed.visit_day - sessions.last_session_day as since_session_day,
    followed.next_day,
    case
        when followed.next_day is not null then 'seen'
        when least(coalesce(course.end_day, 100000), coalesce(course.next_course_day, 100000))
            <= coalesce(ahead.window_high_day, followed.visit_day) then 'ended'
        when ahead.window_high_day <= course.cut_day then 'lost'
        else 'not_due'
    end as next_state,
    course.end_day, course.end_role, course.next_course_day, course.watched_to_day, course.cut_day,
    followed.source_id
from followed
inner join reduction.booster_course as course on followed.course_id = course.course_id
cross join cohort.booster as asked
left join endpoint.decision_point as point
    on followed.course_id = point.course_id and followed.visit_day = point.visit_day
    and asked.definition = point.definition
left join sessions on followed.course_id = sessions.course_id and followed.visit_day = sessions.visit_day
left join ahead on followed.course_id = ahead.course_id and followed.visit_day = ahead.visit_day
