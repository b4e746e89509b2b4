-- title: Until when each course was watched for its end, by the last visit at which response was judged
-- grain: course_id, definition, confirmation, early_visits
-- source: endpoint.response, catalogue.programme_visit, endpoint.end_event, endpoint.intercurrent
-- renewed: whole; reads the data cut
-- Watched until the next planned visit would have closed, or the data cut: an end reported later, from a record, is not
-- counted, because those without an end were not watched so long. An end within that time is counted on its day.
with next_visit as (
    select
        response.course_id, response.definition, response.confirmation, response.early_visits,
        min(planned.window_high_day) as window_high_day
    from endpoint.response as response
    inner join course.course as course on response.course_id = course.course_id
    inner join catalogue.programme_visit as planned on course.programme = planned.programme
    where planned.window_low_day > coalesce(response.last_assessed_day, 0)
    group by response.course_id, response.definition, response.confirmation, response.early_visits
)

select
    response.course_id, response.definition, response.confirmation, response.early_visits,
    greatest(
        coalesce(response.last_assessed_day, 0),
        least(
            coalesce(next_visit.window_high_day, response.last_assessed_day, 0),
            coalesce(course.potential_follow_up_day, 0)
        )
    ) as watched_to_day,
    case
        when ending.day <= coalesce(next_visit.window_high_day, response.last_assessed_day, 0) then ending.day
    end as end_day,
    ending.role as end_role,
    booster.day as booster_day
from endpoint.response as response
inner join course.course as course on response.course_id = course.course_id
left join next_visit
    on response.course_id = next_visit.course_id and response.definition = next_visit.definition
    and response.confirmation = next_visit.confirmation and response.early_visits = next_visit.early_visits
left join endpoint.end_event as ending on response.course_id = ending.course_id
left join endpoint.intercurrent as booster on response.course_id = booster.course_id and booster.role = 'booster'
