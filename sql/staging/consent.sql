-- title: Until when the data of each patient may be used, and of whom none may be
-- grain: patient_id
-- source: record.patient and record.consent: withdrawal of consent by its scope, of any version; the first counts
-- contact_only ends contact and leaves the record; future_data ends what may be recorded on the day of the withdrawal;
-- all_data takes everything out of every analysis. The record itself keeps what it holds, and attrition shows who left.
with withdrawals as (
    select id as patient_id, withdrawn_date, withdrawal_scope
    from record.patient
    union all
    select patient_id, withdrawn_date, withdrawal_scope
    from record.consent
)

select
    patient_id,
    min(case when withdrawal_scope in ('future_data', 'all_data') then withdrawn_date end) as until_date,
    max(case when withdrawal_scope = 'all_data' and withdrawn_date is not null then 1 else 0 end) = 1 as withdrawn_all
from withdrawals
group by patient_id
