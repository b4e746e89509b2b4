-- title: Which response definitions are derived
-- grain: programme, definition
-- source: catalogue.programme: the default of each; a question that names another one derives it in memory
-- renewed: whole; is of no patient
select programme, definition
from catalogue.programme
where definition is not null
