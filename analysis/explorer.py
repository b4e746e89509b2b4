"""What the cohort explorer asks and answers: a choice of courses in, one question's result and its code out.

No widget here. The rows of single courses are made once a question (:mod:`analysis.held`), so that each further
selection costs what its own courses cost: under a second at 100,000 patients (docs/how-to/explore.md has the figures).
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from analysis.cohort import By, Confirmation, allowed, definition_of, place, place_courses, reduce
from analysis.held import hold
from analysis.loss_of_response import reduce_states
from analysis.response import HORIZON_DAYS, time_to_response
from analysis.result import Result
from analysis.states_by_visit import states_by_visit
from analysis.trajectories import trajectories
from analysis.trajectory_question import ask
from registry import Courses, Registry
from registry.errors import NotEstimable, choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

View = Literal["response", "states", "trajectories"]
# What courses are selected by, and how it is called in the explorer.
SELECTED_BY = {
    "site": "Site", "diagnosis": "Diagnosis", "stage": "Severity stage", "origin": "Cell source", "product": "Product",
    "dose_band": "Dose", "centre": "Centre",
}  # fmt: skip
# Up to so many courses limits are resampled at once; above, when they are asked for.
FEW_COURSES = 4_000
RESAMPLES = 60
_POLICIES = {"unit": "points_of_100", "end_policy": "hypothetical", "booster_policy": "treatment_policy"}


@dataclass(frozen=True)
class Choice:
    """What is chosen in the explorer; None restricts nothing.

    Attributes
    ----------
    programme
        One of the registry; each has its own stages and scales.
    site, diagnosis, stage, origin, product, dose_band, centre
        Keep courses with this value at the first session.
    min_potential_follow_up_day
        Days from the first session to the data cut.
    definition, confirmation
        Response definition (None: the programme's own), and whether the next visit must agree.
    by
        What separates the curves.
    scale
        Domain or scale of the trajectories; None: the programme's first.
    horizon_day
        How far response and states are followed.
    limits
        Whether 95 % limits are resampled although there are many courses.
    """

    programme: str
    site: str | None = None
    diagnosis: str | None = None
    stage: str | None = None
    origin: str | None = None
    product: str | None = None
    dose_band: str | None = None
    centre: str | None = None
    min_potential_follow_up_day: int = 0
    definition: str | None = None
    confirmation: Confirmation = "confirmed"
    by: By = "stage"
    scale: str | None = None
    horizon_day: int = 730
    limits: bool = False

    @property
    def selection(self) -> dict[str, Any]:
        """The arguments of :meth:`registry.Registry.courses`."""
        chosen = {name: getattr(self, name) for name in ("programme", *SELECTED_BY)}
        days = self.min_potential_follow_up_day
        return {k: v for k, v in chosen.items() if v is not None} | (
            {"min_potential_follow_up_day": days} if days else {}
        )

    def arguments(self, view: View) -> dict[str, Any]:
        """Return the arguments of the question behind `view`, those at their default left out."""
        own: dict[str, Any] = {} if self.definition is None else {"definition": self.definition}
        own |= {} if self.confirmation == "confirmed" else {"confirmation": self.confirmation}
        by: dict[str, Any] = {"by": self.by}
        if view == "trajectories":
            return by | ({} if self.scale is None else {"scale": self.scale})
        if view == "states":
            return own | by | {"until_day": self.horizon_day}
        return own | by | {"horizon_day": (*(d for d in HORIZON_DAYS if d < self.horizon_day), self.horizon_day)}


@dataclass(frozen=True)
class Look:
    """What the explorer shows of one choice.

    Attributes
    ----------
    courses
        The selection.
    result
        The answer, as the question itself returns it.
    quick
        What the figure leaves out so that it comes at once, in a sentence; empty if nothing.
    seconds
        What it took, drawing included.
    figure
        Drawn from the result.
    code
        A cell that gives the same estimates, with everything the quick look leaves out.
    """

    courses: Courses
    result: Result
    quick: str
    seconds: float
    figure: Figure
    code: str


class Explorer:
    """Answers choices about one registry, and keeps what the next choice can use again."""

    def __init__(self, registry: Registry):
        self.registry = registry
        self._asked: dict[View, tuple[Any, ...]] = {}
        self._whole: dict[str, Courses] = {}

    def programmes(self) -> dict[str, str]:
        """Return the programmes that have courses, with their labels, those with most courses first."""
        found = self.registry.con.sql(
            "select programme, min(label) from course.profile join catalogue.programme using (programme) "
            "group by programme order by count(*) desc, programme"
        ).fetchall()
        if not found:
            raise NotEstimable("The registry has no course yet. Load files first: `catamnesis load`.")
        return {str(p): str(label) for p, label in found}

    def values(self, programme: str) -> dict[str, list[tuple[str, int]]]:
        """Return by what courses of a programme can be selected: for each name its values, with their courses."""
        con = self.registry.con
        out = {}
        for name in SELECTED_BY:
            order = "2 desc, 1"
            if name == "stage":
                order = "(select min(position) from catalogue.stage s where s.programme = ? and s.stage = p.stage), 1"
            found = con.execute(
                f"select {name}, count(*) from course.profile p where programme = ? and not withdrawn_all "
                f"and index_date is not null and {name} is not null group by {name} order by {order}",
                [programme, programme] if name == "stage" else [programme],
            ).fetchall()
            out[name] = [(str(v), int(n)) for v, n in found]
        return out

    def definitions(self, programme: str) -> dict[str, str]:
        """Return the response definitions whose scales the programme measures, its own first, with their labels."""
        found = self.registry.con.execute(
            "select d.definition, d.label, coalesce(d.definition = own.definition, false) as its_own "
            "from catalogue.definition d join catalogue.definition_criterion c using (definition) "
            "join catalogue.programme own on own.programme = ? "
            "left join catalogue.programme_scale p on p.programme = own.programme "
            "and (c.scale = p.scale or (c.scale is null and c.domain = p.domain)) "
            "group by all having count(*) filter (where p.scale is null) = 0 "
            "order by its_own desc, 1",
            [programme],
        ).fetchall()
        return {str(d): str(label) for d, label, _ in found}

    def domains(self, programme: str) -> list[str]:
        """Return the domains that the programme measures."""
        found = self.registry.con.execute(
            "select domain from catalogue.programme_scale where programme = ? group by domain "
            "order by domain <> 'pain', 1",
            [programme],
        ).fetchall()
        return [str(d) for (d,) in found]

    def look(self, choice: Choice, view: View = "response") -> Look:
        """Answer one choice.

        Raises
        ------
        CatamnesisError
            As the question behind the view: no course, no agreed definition, too few at the visits.
        """
        choose(view, allowed(View), "view =")
        start = time.perf_counter()
        courses = self.registry.courses(**choice.selection)
        if len(courses) == 0:
            raise NotEstimable("No course is left by this choice. Widen it: set one of the lists back to all.")
        self._hold(choice, view)
        result, quick = self._answer(courses, choice, view)
        figure = result.plot()
        if quick:
            figure.supxlabel(quick, x=0.01, ha="left", fontsize=8, color="#555555")
        return Look(courses, result, quick, time.perf_counter() - start, figure, self.code(choice, view))

    def _answer(self, courses: Courses, choice: Choice, view: View) -> tuple[Result, str]:
        arguments = choice.arguments(view)
        if view == "states":
            return states_by_visit(courses, **arguments), ""
        if view == "trajectories":
            found = trajectories(courses, variance="model", **arguments)
            several = any("take courses as independent" in note for note in found.notes)
            return found, "Intervals take the courses of one patient for independent." if several else ""
        few = len(courses) <= FEW_COURSES
        times = RESAMPLES if few or choice.limits else 0
        quick = f"95 % limits from {times} resamples of patients, a sketch." if times else "Without 95 % limits."
        return time_to_response(courses, resamples=times, **arguments), quick

    def _hold(self, choice: Choice, view: View) -> None:
        """Make the rows of all courses of the programme for the question of a view, unless they are held."""
        question = (choice.programme, choice.scale) if view == "trajectories" else (
            choice.programme, choice.definition, choice.confirmation)  # fmt: skip
        if self._asked.get(view) == question:
            return
        if choice.programme not in self._whole:
            self._whole[choice.programme] = self.registry.courses(programme=choice.programme)
        whole = self._whole[choice.programme]
        if view == "response":
            _, placed = place(whole, "all", definition_of(whole, choice.definition), confirmation=choice.confirmation)
            reduce(placed, "reduction.response_course")
            hold(placed, "reduction.response_course")
        elif view == "states":
            reduce_states(whole, "panel_planned", definition=choice.definition, by="all",
                          confirmation=choice.confirmation)  # fmt: skip
            hold(whole, "reduction.panel_watch", "reduction.panel_planned")
        else:
            _, placed = place_courses(whole, "all")
            ask(placed, choice.scale, None, (), **_POLICIES)
            reduce(placed, "reduction.trajectory_value")
            hold(placed, "reduction.trajectory_course", "reduction.trajectory_value")
        self._asked[view] = question

    def code(self, choice: Choice, view: View = "response") -> str:
        """Return the cell that reproduces what is shown, with full limits; it runs wherever the file is."""
        question = {"response": "time_to_response", "states": "states_by_visit", "trajectories": "trajectories"}[view]
        as_of = "" if self.registry.as_of is None else f", as_of={self.registry.as_of}"
        as_of += "" if self.registry.centre is None else f", centre={_literal(self.registry.centre)}"
        return "\n".join([
            f"from analysis import {question}",
            "from registry import Registry",
            "",
            f"reg = Registry.open({_literal(self.registry.path.as_posix())}{as_of})",
            _call("courses = reg.courses", [], choice.selection),
            _call(f"result = {question}", ["courses"], choice.arguments(view)),
            "result.plot()",
        ])  # fmt: skip


def settle(choice: Choice, values: dict[str, list[tuple[str, int]]]) -> Choice:
    """Return the choice with what its programme does not have set back to all."""
    gone = {
        name: None
        for name in SELECTED_BY
        if getattr(choice, name) is not None and getattr(choice, name) not in [v for v, _ in values[name]]
    }
    return replace(choice, **gone)  # type: ignore[arg-type]


def _call(what: str, first: list[str], named: dict[str, Any]) -> str:
    """Return a call as it would be written by hand: on one line if it fits."""
    given = [*first, *(f"{name}={_literal(value)}" for name, value in named.items())]
    line = f"{what}({', '.join(given)})"
    return line if len(line) <= 88 else "\n    ".join([f"{what}(", *(f"{g}," for g in given)]) + "\n)"


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)
