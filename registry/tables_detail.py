"""What surrounds a course: consent, who treats, what was tried before and hoped for, how a product was made and tested.

Nothing here is needed to answer a question; all of it is asked of a registry that others shall be able to repeat
(DOSES; MIBO).
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import BigInteger
from sqlmodel import Field

from registry.columns import Reference, Source, column
from registry.record import PATIENT, PRODUCT, TARGET, TARGET_OR_PATIENT, Record


class Operator(Record, table=True):
    """Who delivers the therapy, by code: a session names the code, never the person."""

    __tablename__ = "operator"
    __source__ = Source("operators", ("operator",), (Reference("centre_id", "centre", ("centre",)),))

    centre_id: int | None = Field(default=None, sa_type=BigInteger, description="Clinic")
    operator: str = column("Operator code (no names)", required=True)
    specialty: str | None = column("Specialty", vocabulary="specialty")
    trained_in_procedure: bool | None = column("Trained in the procedure")
    years_experience: int | None = column("Years of experience with it", low=0, high=70, unit="a")


class Consent(Record, table=True):
    """One version of the consent form that a patient signed, and what was withdrawn of it on which day.

    The scope that rules what may be used is that of the patients file; a withdrawal here counts as one there.
    """

    __tablename__ = "consent"
    __source__ = Source("consents", ("patient", "version"), (PATIENT,))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    version: str = column("Version of the form", required=True)
    signed_date: dt.date = column("Signed on", required=True)
    scope: str = column("What was agreed to", required=True, vocabulary="consent_scope")
    withdrawn_date: dt.date | None = column("Withdrawn on")
    withdrawal_scope: str | None = column("What the withdrawal covers", vocabulary="withdrawal_scope")


class Comorbidity(Record, table=True):
    """Another disease of the patient."""

    __tablename__ = "comorbidity"
    __source__ = Source("comorbidities", ("patient", "comorbidity"), (PATIENT,))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    comorbidity: str = column("Disease", required=True, vocabulary="comorbidity")
    icd10: str | None = column("ICD-10 code")
    onset_date: dt.date | None = column("Known since; may be a month or a year", partial_date=True)
    onset_date_precision: str | None = Field(default=None, description="day, month or year")


class Habit(Record, table=True):
    """How the patient lived at a time: what may act beside the treatment."""

    __tablename__ = "habit"
    __source__ = Source("habits", ("patient", "date"), (PATIENT,))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    date: dt.date = column("Asked on", required=True)
    smoking: str | None = column("Smoking", vocabulary="smoking")
    pack_years: Decimal | None = column("Pack-years", decimal=True, low=0, high=300, unit="a")
    exercise_min_week: int | None = column("Moderate exercise", low=0, high=5000, unit="min/wk")
    work_demand: str | None = column("Physical demand of work", vocabulary="work_demand")
    opioid_use: bool | None = column("Uses opioids")
    nsaid_days_7: int | None = column("Days with anti-inflammatory drugs in the last week", low=0, high=7, unit="d")
    analgesic_washout_h: int | None = column("Hours without painkillers before scores", low=0, high=1000, unit="h")


class PriorTreatment(Record, table=True):
    """What was tried on the target before, and what it did."""

    __tablename__ = "prior_treatment"
    __source__ = Source("prior_treatments", ("patient", "site", "side", "kind"), (PATIENT, TARGET))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    kind: str = column("Treatment", required=True, vocabulary="prior_treatment")
    number: int | None = column("How often", low=1, high=500)
    last_date: dt.date | None = column("Last; may be a month or a year", partial_date=True)
    last_date_precision: str | None = Field(default=None, description="day, month or year")
    response: str | None = column("What it did", vocabulary="prior_response")
    duration_months: int | None = column("How long the effect lasted", low=0, high=600, unit="mo")


class SupportiveTreatment(Record, table=True):
    """What was done beside the treatment: physiotherapy, a brace, weight loss."""

    __tablename__ = "supportive_treatment"
    __source__ = Source(
        "supportive_treatments", ("patient", "site", "side", "kind", "start_date"), (PATIENT, TARGET_OR_PATIENT)
    )

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target; empty: the whole patient")
    kind: str = column("Treatment", required=True, vocabulary="supportive_treatment")
    start_date: dt.date = column("Begun on", required=True)
    end_date: dt.date | None = column("Ended on")
    adherence_pct: Decimal | None = column("Adherence", decimal=True, low=0, high=100, unit="%")


class Goal(Record, table=True):
    """What the patient wanted, was told to expect before the treatment, and reached."""

    __tablename__ = "goal"
    __source__ = Source("goals", ("patient", "site", "side", "date", "domain"), (PATIENT, TARGET))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    date: dt.date = column("Agreed on", required=True)
    domain: str = column("What it is about", required=True, vocabulary="goal_domain")
    importance: int | None = column("Importance to the patient, 5 highest", low=1, high=5)
    expected_points: Decimal | None = column("Change expected, points of 100", decimal=True, low=-100, high=100)
    expected_case: str | None = column("Case that was described", vocabulary="expected_case")
    attainment: int | None = column("Goal attainment scale: 0 as expected, 2 much better", low=-2, high=2)
    assessed_date: dt.date | None = column("Attainment assessed on")


class Processing(Record, table=True):
    """How a product was harvested, processed and kept: what another clinic needs to repeat it."""

    __tablename__ = "processing"
    __source__ = Source("processing", ("product",), (PRODUCT,))

    product_id: int | None = Field(default=None, sa_type=BigInteger, description="Product")
    donor_age: int | None = column("Age of the donor", low=0, high=110, unit="a")
    donor_sex: str | None = column("Sex of the donor", vocabulary="sex")
    donor_screened: bool | None = column("Donor screened for infections")
    pooled_donors: int | None = column("Donors pooled", low=1, high=1000)
    harvest_site: str | None = column("Site of harvest", vocabulary="harvest_site")
    harvest_date: dt.date | None = column("Harvested on")
    harvest_volume_ml: Decimal | None = column("Volume harvested", decimal=True, low=0, high=3000, unit="mL")
    harvest_device: str | None = column("Device of harvest")
    anticoagulant: str | None = column("Anticoagulant")
    device: str | None = column("Device or kit of processing")
    same_day: bool | None = column("Processed and given on one day")
    medium: str | None = column("Culture medium")
    serum: str | None = column("Serum in culture", vocabulary="serum")
    oxygen_pct: Decimal | None = column("Oxygen in culture", decimal=True, low=0, high=100, unit="%")
    culture_days: int | None = column("Days in culture", low=0, high=365, unit="d")
    population_doublings: Decimal | None = column("Population doublings", decimal=True, low=0, high=100)
    thaw_viability_pct: Decimal | None = column("Viability after thawing", decimal=True, low=0, high=100, unit="%")
    post_thaw_hours: Decimal | None = column("Hours from thawing to use", decimal=True, low=0, high=200, unit="h")
    gmp: bool | None = column("Made under good manufacturing practice")
    third_party_tested: bool | None = column("Tested by a third party")
    vehicle: str | None = column("Vehicle")
    adjunct: str | None = column("Given with", vocabulary="adjunct")


class ReleaseTest(Record, table=True):
    """A test of a product: what was found, against which limit, and when it was known; often only after the use."""

    __tablename__ = "release_test"
    __source__ = Source("release_tests", ("product", "analyte", "sampled_date"), (PRODUCT,))

    product_id: int | None = Field(default=None, sa_type=BigInteger, description="Product")
    analyte: str = column("What was tested", required=True, vocabulary="release_analyte")
    sampled_date: dt.date = column("Sampled on", required=True)
    status: str = column("Result against its limit", required=True, vocabulary="release_status")
    value: Decimal | None = column("Value in `unit`", decimal=True)
    unit: str | None = column("Unit")
    comparator: str | None = column("< when below the limit of quantification", vocabulary="comparator")
    limit_low: Decimal | None = column("Lowest value that passes, in `unit`", decimal=True)
    limit_high: Decimal | None = column("Highest value that passes, in `unit`", decimal=True)
    limit_source: str | None = column("Where the limit comes from")
    method: str | None = column("Method")
    laboratory: str | None = column("Laboratory code")
    independent: bool | None = column("By a laboratory that did not make the product")
    result_date: dt.date | None = column("Known on; empty while it is pending")


class ImagingDetail(Record, table=True):
    """How an image was taken and read from which a grade or a measured value comes."""

    __tablename__ = "imaging_detail"
    __source__ = Source("imaging_details", ("patient", "site", "side", "date", "modality"), (PATIENT, TARGET))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    date: dt.date = column("Date of the image", required=True)
    modality: str = column("Imaging modality", required=True, vocabulary="modality")
    protocol: str | None = column("Protocol or view")
    weight_bearing: bool | None = column("Taken standing")
    readers: int | None = column("Number of readers", low=1, high=20)
    blinded: bool | None = column("Read without knowledge of treatment and time")


class LaboratoryDetail(Record, table=True):
    """How a laboratory value came about: what it was measured in, with which kit, down to which limit."""

    __tablename__ = "laboratory_detail"
    __source__ = Source("laboratory_details", ("patient", "date", "instrument"), (PATIENT,))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    date: dt.date = column("Date of the sample", required=True)
    instrument: str = column("Analyte, as in measurements", required=True)
    specimen: str = column("Specimen", required=True, vocabulary="specimen")
    assay: str | None = column("Assay or kit")
    lot: str | None = column("Lot of the kit")
    lower_limit: Decimal | None = column("Lower limit of quantification, in the unit of the value", decimal=True)
    fasting: bool | None = column("Taken fasting")
