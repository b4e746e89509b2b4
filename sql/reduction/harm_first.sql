-- title: When each course had its first adverse event of those asked about, was over before one, or was last watched
-- grain: course_id
-- source: reduction.harm_course, harm_event; endpoint.end_event
-- cause: event; over (the target's end, another treatment in its place or death came first); censored at the last contact.
-- An event on the day of the end came first: an end can follow from it. The day of the first session is watched of all.
with first_event as (
    select course_id, min(day) as day
    from reduction.harm_event
    where watched
    group by course_id
)

select
    course.course_id, course.patient_id, course.stratum,
    case
        when first_event.day <= coalesce(ending.day, first_event.day) then 'event'
        when ending.day <= course.watched_day then 'over'
        else 'censored'
    end as cause,
    case
        when first_event.day <= coalesce(ending.day, first_event.day) then first_event.day
        when ending.day <= course.watched_day then ending.day
        else course.watched_day
    end as day
from reduction.harm_course as course
left join first_event on course.course_id = first_event.course_id
left join endpoint.end_event as ending on course.course_id = ending.course_id
