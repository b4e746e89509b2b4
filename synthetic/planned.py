"""A planned study as a world to draw from: how many courses, who they are, when they are seen, and what is expected."""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from registry import spilling, sqlmodels
from registry.connection import new_session
from registry.errors import UsageError
from synthetic.response_world import STAGES, VISITS, Scenario, make, reductions
from synthetic.truth import OA

_REDUCTIONS = ("reduction.response_cell", "reduction.response_cluster")


@dataclass(frozen=True)
class PlannedStudy:
    """What a study is planned to be.

    Attributes
    ----------
    courses
        How many courses of treatment; some patients bring two, whose times are alike.
    response
        Share expected to have responded by `at_day` in each of the stages early, moderate, bone-on-bone, had nothing
        ended the course before.
    at_day
        The day at which the response is reported.
    mix
        Shares of the stages among the courses; they are put to 1.
    visit_day, window_day
        Days of the planned visits, and half the width of the window of each.
    dropout
        Hazard of leaving a month: 0.008 loses one in eleven a year.
    missed
        Probability that a visit is missed though the patient comes again.
    informative
        By how much both are larger for those without response.
    bilateral
        Share of patients with two targets.
    end_per_year
        Rate of joint replacement without response, by stage.
    death_per_year
        Rate of death.
    follow_up_day
        From and to, evenly: days from the first session to the end of the study.

    Examples
    --------
    >>> plan = PlannedStudy(courses=300, response=(0.65, 0.45, 0.2))
    >>> sorted(plan.sample(seed=1))
    ['reduction.response_cell', 'reduction.response_cluster']
    """

    courses: int
    response: tuple[float, float, float]
    at_day: float = 365.0
    mix: tuple[float, float, float] = (0.4, 0.35, 0.25)
    visit_day: tuple[float, ...] = tuple(day for day, _ in VISITS)
    window_day: tuple[float, ...] = tuple(half for _, half in VISITS)
    dropout: float = 0.008
    missed: float = 0.08
    informative: float = 1.0
    bilateral: float = 0.16
    end_per_year: tuple[float, float, float] = (0.005, 0.025, 0.09)
    death_per_year: float = OA.death_per_year
    follow_up_day: tuple[float, float] = (400.0, 800.0)

    @property
    def scenario(self) -> Scenario:
        """The law that the plan amounts to.

        Raises
        ------
        UsageError
            When a share is none, visits and windows do not pair up, or a response cannot be reached by `at_day`.
        """
        if len(self.visit_day) != len(self.window_day):
            raise UsageError("visit_day and window_day need one entry for each visit.")
        if self.courses < 20 or not all(0 <= p < 1 for p in self.response):
            raise UsageError("A plan needs 20 courses or more, and responses that are shares: 0.65, not 65.")
        laws = []
        for law, p, share, end in zip(OA.stages.values(), self.response, self.mix, self.end_per_year, strict=True):
            ever = p / float(replace(law, respond=1.0).responded(self.at_day))  # type: ignore[arg-type]
            if ever > 1:
                raise UsageError(f"A response of {p} by day {self.at_day:.0f} would need more responders than courses.")
            laws.append(replace(law, respond=ever, share=share, end_per_year=end))
        return Scenario(
            "planned", "renewal", missed=self.missed, dropout=self.dropout, informative=self.informative,
            laws=tuple(laws), visits=tuple(zip(self.visit_day, self.window_day, strict=True)),
            follow_up=self.follow_up_day, bilateral=self.bilateral, death_per_year=self.death_per_year,
        )  # fmt: skip

    def sample(self, seed: int) -> dict[str, pl.DataFrame]:
        """Draw one study and return the reductions that its visits make, by name; same seed, same study."""
        con = new_session()
        try:
            con.execute("set threads = 1")
            con.execute("create schema reduction")
            rows = reductions(make(self.scenario, self.courses, seed))["response_course"]  # noqa: F841  (read by name)
            con.execute("create table reduction.response_course as from rows")
            sqlmodels.run(con, _REDUCTIONS)
            return {name: con.sql(f"from {name} order by all").pl() for name in _REDUCTIONS}
        finally:
            spilling.close(con)


__all__ = ["STAGES", "PlannedStudy"]
