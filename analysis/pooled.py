"""One answer from several centres that send counts and keep their patients.

Each centre reduces its own cohort (:func:`reduce_for`); the counts add up (:func:`pool`); the answer made from the sum
(:func:`answer`) is that of the pooled patients. Nothing but counts and sums of products has to leave a centre, and
:mod:`analysis.disclosure.small_counts` makes even these coarse where they are of few.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import polars as pl

from analysis.cohort import Stratum
from analysis.loss_of_response import PANEL, answer_loss, answer_time, reduce_states
from analysis.reduction import Reduction, gathered, same_as_one
from analysis.replacement import answer_replacement, reduce_replacement
from analysis.response import answer_response, reduce_response
from analysis.result import Result
from analysis.trajectories import answer_trajectories, reduce_trajectories
from registry import Courses, sqlmodels
from registry.errors import UsageError, choose

_T = TypeVar("_T")


@dataclass(frozen=True)
class Halves:
    """The two halves of a question: `reduce` counts a cohort, `answer` makes the result, `reads` names reductions."""

    reduce: Callable[..., Reduction]
    answer: Callable[..., Result]
    reads: tuple[str, ...]


QUESTIONS = {
    "time_to_response": Halves(reduce_response, answer_response, ("response_cell", "response_cluster")),
    "loss_of_response": Halves(reduce_states, answer_loss, PANEL),
    "time_in_response": Halves(reduce_states, answer_time, PANEL),
    "joint_replacement": Halves(reduce_replacement, answer_replacement, ("end_cell", "end_cluster")),
    "trajectories": Halves(reduce_trajectories, answer_trajectories, ("trajectory_product", "trajectory_due")),
}
# Cells with the patterns of patients that refer to them, and what makes two cells the same.
CELLS = {
    "response_cell": ("response_cluster", ("stratum", "kind", "left_day", "right_day")),
    "end_cell": ("end_cluster", ("stratum", "cause", "day")),
    "panel_cell": (
        "panel_cluster",
        ("stratum", "kind", "from_state", "to_state", "start_day", "stop_day", "unconfirmed", "part"),
    ),
}  # fmt: skip
# Columns that add up; the others are the key.
SUMS = {
    "panel_share": ("n",),
    "panel_agreement": ("n", "n_agreed"),
    "trajectory_product": ("n", "total"),
    "trajectory_due": ("n_due", "n_seen"),
    "trajectory_complete": ("n", "total", "square"),
    "trajectory_scale": ("n",),
    "courses_of_a_patient": ("n",),
}
# The reductions of a question by name, with their columns: of text, of whole numbers from nought, and sums of decimals.
_CLUSTER = "pattern:text cell:whole n_courses:whole n_patients:whole"
_PANEL = {
    "panel_cell": "cell:whole stratum:text kind:text from_state:text to_state:text start_day:whole stop_day:whole "
    "unconfirmed:text part:text n:whole",
    "panel_cluster": _CLUSTER,
    "panel_share": "stratum:text planned_visit:text target_day:whole state:text unconfirmed:text part:text n:whole",
    "panel_agreement": "stratum:text shown_state:text n:whole n_agreed:whole",
}
COLUMNS = {
    "time_to_response": {
        "response_cell": "cell:whole stratum:text kind:text left_day:whole right_day:whole n:whole",
        "response_cluster": _CLUSTER,
    },
    "loss_of_response": _PANEL,
    "time_in_response": _PANEL,
    "joint_replacement": {"end_cell": "cell:whole stratum:text cause:text day:whole n:whole", "end_cluster": _CLUSTER},
    "trajectories": {
        "trajectory_product": "stratum:text pattern:text left_variable:text right_variable:text n:whole total:sum",
        "trajectory_due": "stratum:text position:whole n_due:whole n_seen:whole",
        "trajectory_complete": "stratum:text position:whole n:whole total:sum square:sum",
        "trajectory_scale": "scale:text label:text unit:text n:whole",
        "courses_of_a_patient": "n_courses:whole n:whole",
    },
}
# What may differ between centres; everything else they must agree on.
_OWN = ("data_cut", "versions", "strata", "centre", "small_counts")


def reduce_for(courses: Courses, question: str, **how: Any) -> Reduction:
    """Count a cohort for a question.

    Parameters
    ----------
    question
        ``time_to_response``, ``loss_of_response``, ``time_in_response``, ``joint_replacement`` or ``trajectories``.
    how
        The arguments of the question that decide who and what is counted: ``by``, ``definition``, policies, ``scale``.
        Days, confidence and resamples are chosen when it is answered.

    Raises
    ------
    UsageError
        When the question cannot be answered from counts, or does not take an argument.
    NotEstimable
        When the programme has no agreed definition, or the scale was never measured.

    Examples
    --------
    >>> reduce_for(knees, "time_to_response", by="stage").question
    'time_to_response'
    """
    halves = QUESTIONS[choose(question, QUESTIONS, "Questions that counts can answer:")]
    if halves.reduce is reduce_states:
        how = {"question": question, **how}
    made = _call(halves.reduce, question, how, courses)
    return Reduction(**{**vars(made), "settings": {**made.settings, "rules": _rules(courses, made, halves.reads)}})


def answer(reduction: Reduction, **how: Any) -> Result:
    """Answer a question from the counts of a cohort, or of several pooled.

    Parameters
    ----------
    how
        The arguments of the question that decide how it is answered, e.g. ``horizon_day``, ``confidence``.

    Raises
    ------
    UsageError
        When the question does not take an argument at this point.
    NotEstimable
        As the question itself.

    Examples
    --------
    >>> counts = reduce_for(knees, "time_to_response", by="stage")
    >>> answer(counts, horizon_day=(365,), resamples=20).say("response", "early", 365)
    '... % (95 % CI ... to ...)'
    """
    halves = QUESTIONS[reduction.question]
    return _call(halves.answer, reduction.question, how, reduction)


def _call(function: Callable[..., _T], question: str, how: dict[str, Any], *data: Any) -> _T:
    known = _keywords(function)
    for name in how:
        choose(name, known, f"{question} takes at this point")
    return function(*data, **how)


def _keywords(function: Callable[..., object]) -> list[str]:
    return [n for n, p in inspect.signature(function).parameters.items() if p.kind is p.KEYWORD_ONLY]


def takes(question: str) -> list[str]:
    """Return the arguments of a question that decide who and what is counted."""
    return [name for name in _keywords(QUESTIONS[question].reduce) if name != "question"]


def _rules(courses: Courses, reduction: Reduction, reads: Iterable[str]) -> str:
    """Return a hash of the SQL and of the catalogue rows that made the counts: centres must have the same."""
    con, digest = courses.registry.con, hashlib.sha256()
    models = sqlmodels.upstream(f"reduction.{name}" for name in reads)
    tables = sorted({t for m in models for t in sqlmodels.models()[m].reads if t.startswith("catalogue.")})
    only = {"programme": reduction.settings["programmes"]}
    for column in ("definition", "loss"):
        if column in reduction.placed:
            only[column] = [reduction.placed[column]]
    digest.update("".join(sqlmodels.models()[m].query for m in models).encode())
    for table in tables:
        rows = con.sql(f"from {table}").pl()
        for column, values in only.items():
            if column in rows.columns:
                rows = rows.filter(pl.col(column).is_in(values))
        text = rows.select(pl.all().cast(pl.String, strict=False)).sort(pl.all()).write_csv()
        digest.update(f"{table}\n{text}".encode())
    return digest.hexdigest()[:12]


def pool(reductions: Sequence[Reduction]) -> Reduction:
    """Add up the counts of several centres for the same question.

    The answer made from the sum is that of the pooled patients: to rounding where the counts are exact, and including
    its limits. A patient treated at two centres is taken for two patients.

    Raises
    ------
    UsageError
        When the centres did not ask the same question in the same way under the same definitions, with what differs.

    Examples
    --------
    >>> north, south = (reduce_for(reg.courses(centre=c), "joint_replacement", by="all") for c in ("DEN", "GLA"))
    >>> pool([north, south]).flow["n"][-1] == north.flow["n"][-1] + south.flow["n"][-1]
    True
    """
    if not reductions:
        raise UsageError("There is nothing to pool: give the counts of one centre or more.")
    _agree(reductions)
    first = reductions[0]
    frames = {}
    for name in first.frames:
        held = [r.frames[name] for r in reductions]
        if name in CELLS:
            cluster, keys = CELLS[name]
            frames[name], frames[cluster] = _cells(held, [r.frames[cluster] for r in reductions], keys)
        elif name in SUMS:
            frames[name] = _sum(held, SUMS[name])
    ordered = {name: frames[name] for name in first.frames}
    cuts = sorted({r.settings["data_cut"] for r in reductions})
    own = [{"centre": r.settings.get("centre", f"centre {i}"), "data_cut": r.settings["data_cut"],
            "courses": int(r.flow["n"][-1] or 0), "small_counts": r.settings.get("small_counts", "exact")}
           for i, r in enumerate(reductions, 1)]  # fmt: skip
    strata = _strata(reductions)
    shared = {k: v for k, v in first.settings.items() if k not in _OWN}
    return Reduction(
        question=first.question,
        placed=first.placed,
        strata=strata,
        frames=ordered,
        flow=_flow([r.flow for r in reductions]),
        settings={
            **shared,
            "selection": {k: v for k, v in first.settings["selection"].items() if k != "centre"},
            "strata": [{"code": s.code, "label": s.label, "colour": s.colour} for s in strata],
            "data_cut": cuts[0] if len(cuts) == 1 else f"{cuts[0]} to {cuts[-1]}",
            "versions": _versions(reductions),
            "centres": own,
        },
        notes=(
            f"Pooled from the counts of {len(reductions)} centres; a patient treated at two of them counts as two.",
            *_coarse(own),
            *dict.fromkeys(note for r in reductions for note in r.notes),
        ),
    )


def _coarse(centres: list[dict[str, Any]]) -> tuple[str, ...]:
    """Return the note on what counts that are not exact do to an answer; none where all are."""
    coarse = [str(c["centre"]) for c in centres if c["small_counts"] != "exact"]
    if not coarse:
        return ()
    return (
        f"The counts of {', '.join(coarse)} are not exact: days of small cells were joined. Numbers between the days "
        "reported, of loss and replacement above all, may be off by more than their limits say; ask for exact counts.",
    )


def _agree(reductions: Sequence[Reduction]) -> None:
    first = reductions[0]
    names = [r.settings.get("centre") for r in reductions]
    for i, name in enumerate(names):
        if name is not None and any(_plain(name) == _plain(n) for n in names[:i]):
            raise UsageError(
                f"{name} is the centre of two files: its courses would count twice. Give one file a centre; where two "
                "centres have one name, `reduce --centre` gives them others."
            )
    for other in reductions[1:]:
        here, there = (r.settings.get("centre", "one of them") for r in (first, other))
        both = _asked(first), _asked(other)
        for key in dict.fromkeys([*both[0], *both[1]]):
            one, two = (asked.get(key) for asked in both)
            if one == two:
                continue
            if key == "rules":
                raise UsageError(
                    f"{here} and {there} derived their counts by different rules: the SQL or the catalogue of the "
                    "question differs. Bring both to the same version, derive, and reduce again."
                )
            raise UsageError(f"{here} and {there} did not count the same: {key} is {one!r} and {two!r}.")
    for i, one in enumerate(reductions):
        for other in reductions[:i]:
            if one.flow["n"][-1] and all(one.frames[n].equals(other.frames[n]) for n in one.frames):
                alike = " and ".join(str(r.settings.get("centre", "one of them")) for r in (other, one))
                raise UsageError(f"{alike} sent the same counts: is one a copy? Courses would count twice.")


def _plain(name: object) -> str:
    return " ".join(str(name).casefold().split())


def _asked(reduction: Reduction) -> dict[str, Any]:
    """Return what centres must agree on: the question, how it was counted, by which rules and version."""
    shared = {k: v for k, v in reduction.settings.items() if k not in _OWN}
    selection = {k: v for k, v in reduction.settings["selection"].items() if k != "centre"}
    version = reduction.settings["versions"]["catamnesis"]
    asked = {"question": reduction.question, **reduction.placed, **shared, "selection": selection, "version": version}
    return dict(json.loads(json.dumps(asked, default=str)))


def _cells(
    cells: list[pl.DataFrame], patterns: list[pl.DataFrame], keys: Sequence[str]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the cells of all centres and the patterns that refer to them."""
    start, placed, people = 0, [], []
    for i, (mine, own) in enumerate(zip(cells, patterns, strict=True)):
        placed.append(mine.with_columns(pl.col("cell") + start))
        people.append(own.with_columns(pl.col("cell") + start, pattern=pl.format("{} of {}", "pattern", pl.lit(i))))
        start += int(mine["cell"].max() or 0)  # type: ignore[arg-type]
    one, moved = gathered(pl.concat(placed), pl.concat(people), keys)
    return one, same_as_one(moved)


def _sum(frames: list[pl.DataFrame], columns: Sequence[str]) -> pl.DataFrame:
    keys = [c for c in frames[0].columns if c not in columns]
    total = pl.concat(frames).group_by(keys).agg(pl.col(c).sum() for c in columns)
    return total.select(frames[0].columns).sort(keys)


def _strata(reductions: Sequence[Reduction]) -> tuple[Stratum, ...]:
    """Return the strata of all centres: stages in their order, which all share; others by name."""
    found: dict[str, Stratum] = {}
    for s in (s for r in reductions for s in r.strata):
        found.setdefault(s.code, s)
    if reductions[0].by == "stage":
        return tuple(found.values())
    colours = [s.colour for s in max((r.strata for r in reductions), key=len)]
    codes = sorted(found)
    return tuple(Stratum(c, found[c].label, colours[i % len(colours)]) for i, c in enumerate(codes))


def _versions(reductions: Sequence[Reduction]) -> dict[str, str]:
    names = reductions[0].settings["versions"]
    held = {n: dict.fromkeys(str(r.settings["versions"].get(n)) for r in reductions) for n in names}
    return {n: " / ".join(values) for n, values in held.items()}


def _flow(flows: list[pl.DataFrame]) -> pl.DataFrame:
    """Add up flows: all courses first, then reasons as they came, then those kept."""
    added = pl.concat(f[1:-1] for f in flows).group_by("reason", maintain_order=True).agg(pl.col("n").sum())
    ends = [pl.DataFrame({"reason": f[at]["reason"], "n": [sum(x["n"][at] for x in flows)]},
                         schema=flows[0].schema) for f, at in ((flows[0], 0), (flows[0], -1))]  # fmt: skip
    return pl.concat([ends[0], added.cast(flows[0].schema), ends[1]])
