-- title: Until when each course was watched for its end, by the last visit at which response was judged
-- grain: course_id, definition, confirmation, early_visits
-- source: endpoint.response, catalogue.programme_visit, endpoint.end_event, endpoint.intercurrent
-- renewed: whole; reads the data cut
-- Watched until the next planned visit would have closed, or the data cut: an end reported later, from a record, is not
-- counted, because those without an end were not watched so long. An end within that time is counted on its day.
with judged as (
    select
        response.course_id, response.definition, response.confirmation, response.early_visits,
        response.last_assessed_day, course.programme, course.potential_follow_up_day,
        coalesce(response.last_assessed_day, 0) as judged_to_day
    from endpoint.response as response
    inner join course.course as course on response.course_id = course.course_id
),

days as (
    select distinct programme, judged_to_day
    from judged
),

-- When the next planned visit closes is the same for every course of a programme that was judged to a day.
next_visit as (
    select days.programme, days.judged_to_day, min(planned.window_high_day) as window_high_day
    from days
    inner join catalogue.programme_visit as planned
        on days.programme = planned.programme and days.judged_to_day < planned.window_low_day
    group by days.programme, days.judged_to_day
)

select
    judged.course_id, judged.definition, judged.confirmation, judged.early_visits,
    greatest(
        judged.judged_to_day,
        least(
            coalesce(next_visit.window_high_day, judged.judged_to_day), coalesce(judged.potential_follow_up_day, 0)
        )
    ) as watched_to_day,
    case when ending.day <= coalesce(next_visit.window_high_day, judged.judged_to_day) then ending.day end as end_day,
    ending.role as end_role,
    booster.day as booster_day
from judged
left join next_visit
    on judged.programme = next_visit.programme and judged.judged_to_day = next_visit.judged_to_day
left join endpoint.end_event as ending on judged.course_id = ending.course_id
left join endpoint.intercurrent as booster on judged.course_id = booster.course_id and booster.role = 'booster'
