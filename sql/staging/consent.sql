-- title: Until when the data of each patient may be used, and of whom none may be
-- grain: patient_id
-- source: record.patient: withdrawal of consent by its scope
-- contact_only ends contact and leaves the record; future_data ends what may be recorded on the day of the withdrawal;
-- all_data takes everything out of every analysis. The record itself keeps what it holds, and attrition shows who left.
select
    id as patient_id,
    case when withdrawal_scope in ('future_data', 'all_data') then withdrawn_date end as until_date,
    coalesce(withdrawal_scope = 'all_data' and withdrawn_date is not null, false) as withdrawn_all
from record.patient
