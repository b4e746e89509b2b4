-- title: The adverse events that are asked about, by course and day
-- grain: course_id, day
-- source: reduction.harm_asked; course.follow_up; cohort.harm (related_to: related events only)
-- `watched`: by the last contact. A later event is known only because it happened, so it has no time to be counted over.
select harm.course_id, harm.day, harm.day <= coalesce(follow_up.last_contact_day, 0) as watched, count(*) as n
from reduction.harm_asked as harm
inner join course.follow_up as follow_up on harm.course_id = follow_up.course_id
cross join cohort.harm as asked
where asked.related_to is null or harm.relation = 'related'
group by all
