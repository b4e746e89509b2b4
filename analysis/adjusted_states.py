"""States over time with covariates: strata with intensities of their own, effects in common, laws standardised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from analysis.adjusted_model import Design, ratio_row
from analysis.multistate import RESPONSE, WAITING, WAYS, StratumFit, moves_by_band
from analysis.multistate_laws import Laws
from analysis.multistate_rows import Fitted, panel_moves
from analysis.numerics.laws import hotelling_above
from analysis.numerics.panel_markov_likelihood import Likelihood, arrange
from analysis.numerics.panel_markov_strata import StrataFit, fit_strata, influences, one_step, standardised_law
from analysis.numerics.varying import wald
from analysis.result import check, row
from registry.errors import NotEstimable

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# A way has effects of covariates where it shows so many moves a coefficient; else all have its intensity alike.
MOVES_A_COEFFICIENT = 5
_RATIO = {
    "no_response_yet → in_response": "response_intensity_ratio",
    "in_response → response_lost": "loss_intensity_ratio",
    "response_lost → in_response": "return_intensity_ratio",
}
# Whose row the test of the covariates is; that of the strata is of all.
_COVARIATES = "covariates"
_KEYS = ("stratum", "level", "kind", "from_state", "to_state", "start_day", "stop_day")


@dataclass(frozen=True, eq=False)
class Standardised(Laws):
    """Laws as means over a population of covariates (N, k): of all, or of those ever seen in response.

    `responses` (N,) is how far each of these was: one whose response nobody could confirm counts by the chance that it
    holds. `own` has the covariates of each stratum, for what was seen of it.
    """

    everybody: Floats
    responders: Floats
    responses: Floats
    own: Mapping[str, Floats]
    _kept: dict[Any, tuple[Floats, Floats, Floats, Floats]] = field(default_factory=dict)

    def as_seen(self, code: str, days: Floats) -> Floats:
        """Return the probability of each state by day, (T, 5), of courses with the stratum's own covariates."""
        return self._over(self.own[code], code, days, WAITING, 0.0, None)[0]

    def mean_days(self, code: str, horizon: float) -> tuple[Floats, Floats]:
        """Return the mean days in response up to `horizon` (1,) and the gradient (1, p)."""
        if self.fits[code].fit is None:
            return super().mean_days(code, horizon)
        _, _, days, gradient = self._over(self.everybody, code, np.array([horizon]), WAITING, 0.0, None)
        return days, gradient

    def _law(self, code: str, days: Floats, origin: int, start: float, final: int | None) -> tuple[Floats, Floats]:
        if self.fits[code].fit is None:
            return super()._law(code, days, origin, start, final)
        population = self.responders if origin == RESPONSE else self.everybody
        return self._over(population, code, days, origin, start, final)[:2]

    def _over(
        self, population: Floats, code: str, days: Floats, origin: int, start: float, final: int | None
    ) -> tuple[Floats, Floats, Floats, Floats]:
        key = (id(population), code, tuple(days.tolist()), origin, start, final)
        if key not in self._kept:
            fit = self.fits[code].fit
            assert fit is not None
            self._kept[key] = standardised_law(
                fit.model, fit.theta, population, origin, start, days, final=final, clocked=RESPONSE,
                weights=self.responses if population is self.responders else None,
            )  # fmt: skip
        return self._kept[key]


@dataclass(frozen=True, eq=False)
class Adjusted:
    """Fitted strata with covariates, and the rows, checks and notes of the covariates themselves."""

    fitted: Fitted
    rows: list[dict[str, Any]]
    checks: list[dict[str, Any]]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Problem:
    """What is fitted: of each stratum its likelihood and which parameters are its own; how often each patient moved."""

    codes: list[str]
    problems: list[Likelihood]
    index: list[Ints]
    content: list[sparse.csr_matrix]
    ways: list[str]
    start: Floats


def adjust(fitted: Fitted, moves: pl.DataFrame, known: pl.DataFrame, design: Design, wanted: str) -> Adjusted:
    """Fit the strata of `fitted` at once, with effects of covariates in common.

    Parameters
    ----------
    fitted
        Each stratum without covariates: which intensities it can tell.
    moves
        Moves of single courses with their `weight`, as :func:`moves_of_courses`.
    known
        ``course_id, stratum``, a row for each of `design`.
    wanted
        The way, of ``multistate.WAYS``, that must show enough.

    Raises
    ------
    NotEstimable
        When `wanted` shows too few moves for so many covariates, or the data do not tell their effects.
    """
    codes = [code for code, f in fitted.fits.items() if f.fit is not None]
    k, shown = design.x.shape[1], _shown(fitted, codes)
    if shown[wanted] < MOVES_A_COEFFICIENT * k:
        raise NotEstimable(
            f"{round(shown[wanted])} moves {wanted} are too few for {k} coefficient{'s' * (k > 1)}: "
            f"{MOVES_A_COEFFICIENT} each are needed. Fewer covariates may help."
        )
    ways = [way for way in _held(fitted, codes) if shown[way] >= MOVES_A_COEFFICIENT * k]
    placed = known.select("course_id", place=pl.int_range(pl.len()))
    mine = moves.filter(pl.col("stratum").is_in(codes)).join(placed, on="course_id")
    with threadpool_limits(1):
        one, fit, loose = _fit(fitted, codes, mine, design, ways, wanted)
        ways, effects = one.ways, fit.theta[_bases(one) :]
        influence = influences(fit, one.problems, one.index, one.content)
        alike = _alike(fitted, codes, mine, design, ways, wanted, fit)
    variance = influence.T @ influence
    fits = {c: f for c, f in fitted.fits.items() if f.fit is None}
    fits |= {
        c: _with_effects(fitted.fits[c], fit, p, i) for c, p, i in zip(codes, one.problems, one.index, strict=True)
    }
    fits = {c: fits[c] for c in fitted.fits}
    index = {c: np.zeros(0, dtype=np.int64) for c in fits} | dict(zip(codes, one.index, strict=True))
    first = (pl.col("from_state") == "no_response_yet") & pl.col("to_state").is_in(["in_response", "response_lost"])
    responded = mine.filter(first).group_by("place").agg(pl.col("weight").sum()).sort("place")
    stratum = known["stratum"].to_numpy()
    laws = Standardised(fits, design.x, design.x[responded["place"].to_numpy()], responded["weight"].to_numpy(),
                        {c: design.x[stratum == c] for c in codes})  # fmt: skip
    errors = np.sqrt(np.diag(variance))[_bases(one) :]
    named = list(zip(design.names, design.having, strict=True))
    told = zip(effects.tolist(), errors.tolist(), [(way, *of) for way in ways for of in named], strict=True)
    rows = [
        ratio_row(name, value, error, known.height, fitted.confidence, _RATIO[way], having=having)
        for value, error, (way, name, having) in told
        if way in _RATIO
    ]
    few = [way for way in WAYS if 0 < shown[way] < MOVES_A_COEFFICIENT * k]
    reasons = (
        ("Too few moves for effects of covariates", few),
        ("What was seen does not tell effects of covariates", loose),
    )
    notes = tuple(f"{why}, taken as the same for all in a stratum: {'; '.join(of)}." for why, of in reasons if of)
    checks = [check("moves a coefficient", min(shown[w] for w in ways) / k, f"at least {MOVES_A_COEFFICIENT}", True,
                    f"of the ways with effects of covariates: {'; '.join(ways)}")]  # fmt: skip
    return Adjusted(replace(fitted, fits=fits, variance=variance, index=index, laws=laws, _means={}),
                    [*rows, alike], checks, (*notes, *design.notes))  # fmt: skip


def _held(fitted: Fitted, codes: Sequence[str]) -> list[str]:
    """Return the ways that the model of some stratum has."""
    fits = [fit for code in codes if (fit := fitted.fits[code].fit) is not None]
    edges = {edge for fit in fits for edge in map(tuple, fit.model.transitions.tolist())}
    return [way for way, of in WAYS.items() if edges & set(of)]


def _shown(fitted: Fitted, codes: Sequence[str]) -> dict[str, float]:
    total = np.zeros(len(WAYS))
    for code in codes:
        likelihood = fitted.fits[code].likelihood
        assert likelihood is not None
        total += moves_by_band(likelihood.moves, np.empty(0)).sum(axis=1)
    return dict(zip(WAYS, total.tolist(), strict=True))


def _bases(problem: _Problem) -> int:
    return sum(p.model.n_base for p in problem.problems)


def _problem(
    fitted: Fitted, codes: list[str], moves: pl.DataFrame, x: Floats, ways: list[str], *, shared: bool
) -> _Problem:
    """Arrange the likelihood of each stratum: effects after the intensities of all, `shared` by strata or of each."""
    levels, level = np.unique(x, axis=0, return_inverse=True)
    counted = moves.with_columns(level=pl.Series(level)[moves["place"]])
    patients = counted["patient_id"].unique().sort()
    counted = counted.with_columns(patient=pl.col("patient_id").rank("dense").cast(pl.Int64) - 1)
    way_of = {edge: way for way, edges in WAYS.items() for edge in edges}
    k, at, start = x.shape[1], 0, []
    bases = sum(f.fit.model.n_base for c in codes if (f := fitted.fits[c]).fit is not None)
    problems, index, content = [], [], []
    for s, code in enumerate(codes):
        fit = fitted.fits[code].fit
        assert fit is not None
        cells = counted.filter(pl.col("stratum") == code)
        distinct = cells.group_by(_KEYS).agg(n=pl.col("weight").sum()).sort(_KEYS).with_row_index("move")
        made = (
            cells.join(distinct.select("move", *_KEYS), on=_KEYS)
            .group_by("patient", "move")
            .agg(pl.col("weight").sum())
        )
        content.append(sparse.csr_matrix(
            (made["weight"].to_numpy(), (made["patient"].to_numpy(), made["move"].to_numpy())),
            shape=(len(patients), distinct.height),
        ))  # fmt: skip
        of = [way_of[r, t] for r, t in fit.model.transitions.tolist()]
        held = [way for way in ways if way in of]
        effect = np.array([np.arange(k) + k * held.index(w) if w in held else np.full(k, -1) for w in of])
        model = replace(fit.model, effect_map=effect)
        problems.append(arrange(model, panel_moves(distinct), levels))
        first = bases + (0 if shared else s * k * len(ways))
        index.append(np.concatenate([at + np.arange(model.n_base), *(first + k * ways.index(w) + np.arange(k)
                                                                      for w in held)]))  # fmt: skip
        start.append(fit.theta)
        at += model.n_base
    effects = np.zeros(k * len(ways) * (1 if shared else len(codes)))
    return _Problem(codes, problems, index, content, ways, np.concatenate([*start, effects]))


def _fit(
    fitted: Fitted, codes: list[str], moves: pl.DataFrame, design: Design, ways: list[str], wanted: str
) -> tuple[_Problem, StrataFit, list[str]]:
    """Fit, without effects on ways of which the data do not tell them; return these ways too."""
    loose: list[str] = []
    while True:
        problem = _problem(fitted, codes, moves, design.x, [w for w in ways if w not in loose], shared=True)
        try:
            fit = fit_strata(problem.problems, problem.index, problem.start)
        except ValueError as error:
            raise NotEstimable(f"The adjusted model cannot be fitted: {error}. Fewer covariates may help.") from None
        of = fit.undetermined - _bases(problem)
        unknown = [(problem.ways[j // design.x.shape[1]], design.names[j % design.x.shape[1]]) for j in of if j >= 0]
        told = [name for way, name in unknown if way == wanted]
        if told:
            raise NotEstimable(
                f"What was seen does not tell the effect of {told[0]} on {wanted}. Fewer covariates may help."
            )
        if not unknown:
            return problem, fit, loose
        loose += dict.fromkeys(way for way, _ in unknown)


def _with_effects(f: StratumFit, fit: StrataFit, problem: Likelihood, of: Ints) -> StratumFit:
    assert f.fit is not None
    own = replace(
        f.fit, model=problem.model, names=problem.model.parameter_names(), theta=fit.theta[of],
        covariance=fit.covariance[np.ix_(of, of)], robust=None, newton_decrement=fit.newton_decrement,
        converged=fit.converged, iterations=fit.iterations,
    )  # fmt: skip
    return replace(f, fit=own, likelihood=problem)


def _alike(
    fitted: Fitted, codes: list[str], moves: pl.DataFrame, design: Design, ways: list[str], wanted: str, fit: StrataFit
) -> dict[str, Any]:
    """Return the test that covariates act alike on `wanted` in all strata: a score test, no second fit."""
    if len(codes) < 2:
        return row(_COVARIATES, "test", note="one stratum: nothing to compare")
    what, k = f"covariates act alike on {wanted} in all strata", design.x.shape[1]
    having = [c for c in codes if _shown(fitted, [c])[wanted] > k]
    if len(having) < 2:
        return row(_COVARIATES, "test", note=f"{what}: fewer than two strata show more than {k} such moves")
    own = _problem(fitted, codes, moves, design.x, ways, shared=False)
    size, bases = k * len(ways), _bases(own)
    theta = np.r_[fit.theta[:bases], np.tile(fit.theta[bases:], len(codes))]
    step, influence, loose = one_step(own.problems, own.index, theta, own.content)
    of = [bases + codes.index(c) * size + k * ways.index(wanted) + np.arange(k) for c in having]
    if np.isin(np.concatenate(of), loose).any():
        return row(_COVARIATES, "test", note=f"{what}: not estimable, a stratum does not tell an effect of its own")
    apart = np.concatenate([step[o] - step[of[0]] for o in of[1:]])
    moved = np.hstack([influence[:, o] - influence[:, of[0]] for o in of[1:]])
    moved = moved - moved.mean(axis=0)
    spread = moved.T @ moved
    statistic, df = wald(apart, spread, float(np.square(influence[:, np.concatenate(of)]).sum(axis=0).mean()))
    if not df:
        return row(_COVARIATES, "test", note=f"{what}: patients have the same course in all strata, nothing varies")
    fewest = round(min(_shown(fitted, [c])[wanted] for c in having))
    note = f"{what}: score test, chi-squared {statistic:.2f} on {df} df, by Hotelling's law of {fewest}"
    tail, n = hotelling_above(statistic, df, fewest - 1), sum(map(fitted.courses, having))
    if np.isnan(tail):
        return row(_COVARIATES, "test", denominator=n, note=f"{note}: too few for so many at once")
    return row(_COVARIATES, "test", estimate=tail, denominator=n, note=note)
