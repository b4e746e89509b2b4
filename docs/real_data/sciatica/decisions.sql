-- Leg pain at the visit before each decision to wait or to operate; a first visit has none before it.
with prior as (
    select decision.id, decision.decision, max_by(score.value, score.day) as leg_pain
    from record.decision as decision
    inner join course.course as course on decision.target_id = course.target_id
    inner join course.score as score
        on course.course_id = score.course_id and score.scale = 'VAS-leg-pain' and score.day > 0
        and score.day < date_diff('day', course.index_date, decision.date)
    group by decision.id, decision.decision
)

select decision, count(*) as n, avg(leg_pain) as leg_pain
from prior
group by decision
order by decision
