-- title: The day up to which each centre's data speak
-- grain: centre_id
-- source: log.load, log.load_centre: the latest extraction among the loads that held anything of the centre's patients
-- renewed: whole; says up to when the data of a centre speak
-- One centre's later file must not make the patients of another look overdue.
select held.centre_id, max(load.extracted_on) as data_cut
from log.load_centre as held
inner join log.load as load on held.load_id = load.load_id
group by held.centre_id
