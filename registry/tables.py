"""The record: what was collected, kept as collected. The one statement of its schema.

Every class is a table of schema ``record``. Its ``__source__`` says how the same table looks in a clinic's file; the
loader, the template and the data dictionary are made from both. The unit of analysis is the treated target
(patient × anatomical site × side), and a target may have several courses of treatment.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

from sqlalchemy import BigInteger, CheckConstraint, Constraint, ForeignKeyConstraint
from sqlmodel import Field

from registry.columns import Reference, Source, column
from registry.record import COURSE, PATIENT, PRODUCT, TARGET, TARGET_OR_PATIENT, Record, record
from registry.tables_detail import (
    Comorbidity,
    Consent,
    Goal,
    Habit,
    ImagingDetail,
    LaboratoryDetail,
    Operator,
    PriorTreatment,
    Processing,
    ReleaseTest,
    SupportiveTreatment,
)


class Centre(Record, table=True):
    """A clinic that contributes. Nothing is compared between centres without their agreement."""

    __tablename__ = "centre"
    __source__ = Source("centres", ("centre",))

    centre: str = column("Short code of the clinic", required=True)
    name: str | None = column("Name of the clinic")
    country: str | None = column("ISO 3166 code, two letters")
    timezone: str | None = column("IANA time zone, e.g. Europe/Zurich")


class Patient(Record, table=True):
    """A person, known by pseudonym only: the clinic's own number is replaced by its keyed hash on loading.

    The year of birth is kept, never the date. `enrolment_date` is the day from which data were collected.
    """

    __tablename__ = "patient"
    __source__ = Source("patients", ("patient",), (Reference("centre_id", "centre", ("centre",)),))

    patient_key: str | None = Field(default=None, description="Pseudonym: keyed hash of the clinic's own number")
    centre_id: int | None = Field(default=None, sa_type=BigInteger, description="Clinic")
    birth_year: int = column("Year of birth", required=True, low=1900, high=2100)
    sex: str = column("Sex", required=True, vocabulary="sex")
    height_cm: Decimal | None = column("Height", decimal=True, low=100, high=230, unit="cm")
    enrolment_date: dt.date = column("Consent and enrolment: no visit may be earlier", required=True)
    consent_scope: str | None = column("What the patient agreed to", vocabulary="consent_scope")
    withdrawn_date: dt.date | None = column("Consent withdrawn on")
    withdrawal_scope: str | None = column("What the withdrawal covers", vocabulary="withdrawal_scope")


class Target(Record, table=True):
    """What is treated: patient × anatomical site × side. Two knees are two targets; a systemic treatment has one."""

    __tablename__ = "target"
    __source__ = Source("targets", ("patient", "site", "side"), (PATIENT,))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    site: str = column("Anatomical site", required=True, vocabulary="site")
    side: str = column("Side", required=True, vocabulary="side")
    kind: str = column("Kind of structure", required=True, vocabulary="target_kind")
    compartment: str | None = column("Compartment of the joint", vocabulary="compartment")


class Condition(Record, table=True):
    """Why the target is treated: a diagnosis. A target may have more than one."""

    __tablename__ = "condition"
    __source__ = Source("conditions", ("patient", "site", "side", "diagnosis"), (PATIENT, TARGET))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    diagnosis: str = column("Diagnosis", required=True, vocabulary="diagnosis")
    icd10: str | None = column("ICD-10 code")
    onset_date: dt.date | None = column("First symptoms; may be a month or a year", partial_date=True)
    onset_date_precision: str | None = Field(default=None, description="day, month or year")
    symptom_months: int | None = column("Duration of symptoms at enrolment", low=0, high=1200, unit="mo")
    malalignment_deg: Decimal | None = column(
        "Hip-knee-ankle deviation; varus positive", decimal=True, low=-30, high=30, unit="deg"
    )


class StageAssessment(Record, table=True):
    """A severity grade read on a day by a named scheme. What a grade means is in ``catalogue.stage_map``."""

    __tablename__ = "stage_assessment"
    __source__ = Source("stages", ("patient", "site", "side", "date", "scheme", "reader"), (PATIENT, TARGET))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    date: dt.date = column("Date of the image or examination", required=True)
    scheme: str = column("Grading scheme", required=True, vocabulary="stage_map.scheme")
    grade: str = column("Grade in that scheme, as written there", required=True)
    reader: str | None = column("Reader code (no names)")
    blinded: bool | None = column("Read without knowledge of treatment and time")
    modality: str | None = column("Imaging modality", vocabulary="modality")


class Product(Record, table=True):
    """A treatment product or lot, described so that another clinic could repeat it (DOSES; MIBO)."""

    __tablename__ = "product"
    __source__ = Source("products", ("product",))

    product: str = column("Code of the product or lot", required=True)
    donor: str = column("Relation of donor to recipient", required=True, vocabulary="donor")
    origin: str = column("Tissue of origin", required=True, vocabulary="origin")
    separation: str = column("How cells were separated", required=True, vocabulary="separation")
    expanded: bool = column("Expanded in culture", required=True)
    donor_is_patient: bool | None = column("The donor is the patient")
    minimally_manipulated: bool | None = column("21 CFR 1271.10(a)(1)")
    homologous_use: bool | None = column("21 CFR 1271.10(a)(2)")
    combined_article: bool | None = column("Combined with another article: 21 CFR 1271.10(a)(3)")
    systemic_effect: bool | None = column("Systemic effect or metabolic dependence: 21 CFR 1271.10(a)(4)")
    regulatory_class: str | None = column("Regulatory class as declared", vocabulary="regulatory_class")
    passage: int | None = column("Passage at release", low=0, high=15)
    cryopreserved: bool | None = column("Frozen before use")
    viability_pct: Decimal | None = column("Viability at release", decimal=True, low=0, high=100, unit="%")
    manufacturer: str | None = column("Manufacturer")


class Course(Record, table=True):
    """One course of treatment of one target under one programme; day 0 is its first session."""

    __tablename__ = "course"
    __source__ = Source("courses", ("patient", "site", "side", "course_no"), (PATIENT, TARGET))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    course_no: int = column("1 for the first course of this target", required=True, low=1, high=50)
    programme: str = column(
        "Programme whose schedule and scales apply", required=True, vocabulary="programme.programme"
    )
    planned_sessions: int | None = column("Sessions planned in the series", low=1, high=60)
    planned_interval_day: int | None = column("Days between planned sessions", low=1, high=400, unit="d")
    evaluation_earliest_day: int | None = column("Earliest day of evaluation", low=0, high=730, unit="d")


class TreatmentSession(Record, table=True):
    """One treatment on one day: what was given, how much, by which route and guidance, and with which intent."""

    __tablename__ = "treatment_session"
    __source__ = Source(
        "sessions",
        ("patient", "site", "side", "course_no", "session_no"),
        (PATIENT, TARGET, COURSE, PRODUCT),
    )

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    course_id: int | None = Field(default=None, sa_type=BigInteger, description="Course")
    product_id: int | None = Field(default=None, sa_type=BigInteger, description="Product")
    session_no: int = column("1 for the first session of the course", required=True, low=1, high=200)
    date: dt.date = column("Date of treatment", required=True)
    intent: str = column("Why this session was given", required=True, vocabulary="intent")
    route: str = column("Route of delivery", required=True, vocabulary="route")
    guidance: str = column("Image guidance", required=True, vocabulary="guidance")
    dose_total_million: Decimal | None = column("Cells given, all", decimal=True, low=0, high=100_000, unit="10*6")
    dose_viable_million: Decimal | None = column("Viable cells given", decimal=True, low=0, high=100_000, unit="10*6")
    dose_basis: str | None = column("How the dose is known", vocabulary="dose_basis")
    volume_ml: Decimal | None = column("Volume given", decimal=True, low=0, high=2000, unit="mL")
    concomitant: str | None = column("Given or done at the same time", vocabulary="concomitant")
    operator: str | None = column("Operator code (no names)")


class Visit(Record, table=True):
    """A contact, kept also when it was missed: who is missing, and why, is part of the answer."""

    __tablename__ = "visit"
    __source__ = Source("visits", ("patient", "site", "side", "date", "planned_visit"), (PATIENT, TARGET_OR_PATIENT))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target; empty: the whole patient")
    date: dt.date = column("Date of the contact, or when a missed one was due", required=True)
    planned_visit: str | None = column("Name in the programme's schedule")
    status: str = column("Whether it took place", required=True, vocabulary="visit_status")
    mode: str | None = column("How", vocabulary="visit_mode")


class Measurement(Record, table=True):
    """A measured value of a catalogued scale: a patient-reported score, an image measure, a biomarker, a test."""

    __tablename__ = "measurement"
    __source__ = Source(
        "measurements",
        ("patient", "site", "side", "date", "instrument", "version", "subscale"),
        (PATIENT, TARGET_OR_PATIENT),
    )

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target; empty: the whole patient")
    date: dt.date = column("Date of measurement", required=True)
    instrument: str = column("Instrument", required=True)
    version: str | None = column("Version of the instrument; empty when it has one only")
    subscale: str | None = column("Subscale; empty when it has one only")
    scale: str | None = Field(default=None, description="The catalogued scale: instrument, version and subscale")
    value: Decimal | None = column("Value in `unit`; empty only with a reason", decimal=True)
    unit: str | None = column("Unit as reported; empty: the scale's own")
    comparator: str | None = column("< when below the limit of quantification", vocabulary="comparator")
    mode: str | None = column("How it was collected", vocabulary="visit_mode")
    missing_reason: str | None = column("Why there is no value", vocabulary="missing_reason")


class ItemResponse(Record, table=True):
    """One answer of a questionnaire; scores are computed from these by the published rules (``staging.item_score``)."""

    __tablename__ = "item_response"
    __source__ = Source(
        "items",
        ("patient", "site", "side", "date", "instrument", "version", "item"),
        (PATIENT, TARGET_OR_PATIENT),
    )

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target; empty: the whole patient")
    date: dt.date = column("Date of the questionnaire", required=True)
    instrument: str = column("Instrument", required=True)
    version: str | None = column("Version of the instrument")
    item: str = column("Item code, e.g. P1", required=True)
    answer: int = column("Answer as coded; two boxes ticked, written 2/3, counts as the more severe", required=True)


class Decision(Record, table=True):
    """What was decided and why, also when the answer was no booster: without the noes there is no comparison."""

    __tablename__ = "decision"
    __source__ = Source("decisions", ("patient", "site", "side", "date"), (PATIENT, TARGET))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target")
    date: dt.date = column("Date of the decision", required=True)
    trigger: str | None = column("What led to it", vocabulary="trigger")
    state_at_decision: str | None = column("State as judged then", vocabulary="decision_state")
    decision: str = column("What was decided", required=True, vocabulary="decision")
    deciding_factor: str | None = column("What decided", vocabulary="deciding_factor")
    cost_barrier: bool | None = column("Cost stood in the way")


class Event(Record, table=True):
    """What ends or disturbs the follow-up of a target: replacement, rescue, new treatment elsewhere, death."""

    __tablename__ = "event"
    __source__ = Source("events", ("patient", "site", "side", "date", "kind"), (PATIENT, TARGET_OR_PATIENT))

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target; empty: the whole patient")
    date: dt.date = column("Date of the event; may be a month or a year", required=True, partial_date=True)
    date_precision: str | None = Field(default=None, description="day, month or year")
    kind: str = column("Kind of event", required=True, vocabulary="event_kind")
    reported_by: str | None = column("Who reported it", vocabulary="event_source")


class AdverseEvent(Record, table=True):
    """Harm, with grade, seriousness and relatedness to product, procedure and harvest apart."""

    __tablename__ = "adverse_event"
    __source__ = Source(
        "adverse_events", ("patient", "site", "side", "onset_date", "category"), (PATIENT, TARGET_OR_PATIENT)
    )

    patient_id: int | None = Field(default=None, sa_type=BigInteger, description="Patient")
    target_id: int | None = Field(default=None, sa_type=BigInteger, description="Target; empty: the whole patient")
    onset_date: dt.date = column("Onset", required=True)
    category: str = column("Tick-list category", required=True, vocabulary="adverse_event")
    ctcae_grade: int = column("CTCAE grade", required=True, low=1, high=5)
    serious: bool | None = column("Serious by the ICH criteria")
    related_product: str | None = column("Related to the product", vocabulary="relatedness")
    related_procedure: str | None = column("Related to the procedure", vocabulary="relatedness")
    related_harvest: str | None = column("Related to the harvest", vocabulary="relatedness")
    resolved_date: dt.date | None = column("Resolved on")


# Parents before children: the order in which a load is checked, so that a child meets its accepted parent.
TABLES: tuple[type[Record], ...] = (
    Centre,
    Operator,
    Patient,
    Consent,
    Comorbidity,
    Habit,
    Target,
    Condition,
    StageAssessment,
    PriorTreatment,
    SupportiveTreatment,
    Goal,
    Product,
    Processing,
    ReleaseTest,
    Course,
    TreatmentSession,
    Visit,
    Measurement,
    ImagingDetail,
    LaboratoryDetail,
    ItemResponse,
    Decision,
    Event,
    AdverseEvent,
)

# The loader proves keys unique, references held and values within limits over whole columns; an index kept row by row
# would cost more than the load itself and a large share of its memory. A server with several writers keeps them all.
for _table in TABLES:
    _columns = _table.__table__.columns  # type: ignore[attr-defined]
    _kept: list[Constraint] = [
        ForeignKeyConstraint([r.column], [f"record.{r.table}.id"], deferrable=True, initially="DEFERRED")
        for r in _table.__source__.references
    ]
    _kept += [
        CheckConstraint(f"{c.name} between {c.info['low']} and {c.info['high']}")
        for c in _columns
        if c.info.get("low") is not None
    ]
    for _constraint in _kept:
        _table.__table__.append_constraint(_constraint.ddl_if(dialect="postgresql"))  # type: ignore[attr-defined]
    _table.__table__.primary_key.ddl_if(dialect="postgresql")  # type: ignore[attr-defined]

__all__ = ["TABLES", "Record", "record"]
