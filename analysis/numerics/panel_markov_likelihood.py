"""Continuous-time Markov multi-state models for states seen at visits, fitted to counts of distinct moves.

A course is seen at visits; what happens between is hidden, ends are known to the day. The likelihood (Kalbfleisch &
Lawless 1985, JASA 80:863, eq. 3.1; Jackson 2011, J Stat Softw 38(8), section 1.2) needs only the distinct moves and
how often each was seen: cost depends on distinct moves, not on patients. Intensities are constant within bands of
time since treatment and log-linear in covariates. States count from 0. The fit is in `panel_markov`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from analysis.numerics.panel_markov_numerics import Gradient, exponential

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class Kind(IntEnum):
    """How the arrival in state s at `stop` = b was seen, from r at `start` = a (Jackson 2011, section 1.2).

    PANEL, at a visit: ``P(a,b)[r,s]``. EXACT, whole path known, in r all the time, then a jump to s or (s = r) none:
    ``exp(∫q_rr) q_rs``; with b = a the factor is ``q_rs``, so "r up to the jump, path before hidden" is PANEL r to r
    plus an EXACT move of no length. DEATH, exact entry to s from an unknown state: ``Σ_{k≠s} P(a,b)[r,k] q_ks``.
    CENSORED, in one of the states of set `to_state`: ``Σ_{k∈set} P(a,b)[r,k]``.
    """

    PANEL = 0
    EXACT = 1
    DEATH = 2
    CENSORED = 3


@dataclass(frozen=True, slots=True, eq=False)
class PanelMoves:
    """Distinct observed moves with their counts; every array has shape (n_rows,), times are since treatment.

    Attributes: `cell`, row of the covariate matrix; `from_state`; `to_state`, a state, or for CENSORED a row of
    `PanelModel.state_sets`; `start` and `stop`, times in one unit; `kind`, a `Kind`; `count`, how often it was seen.
    """

    cell: Ints
    from_state: Ints
    to_state: Ints
    start: Floats
    stop: Floats
    kind: Ints
    count: Floats


@dataclass(frozen=True, slots=True, eq=False)
class PanelModel:
    """What may happen, when intensities may change, and which parameters are shared (theta: intensities, effects).

    Attributes
    ----------
    state_names : (K,) names used in messages; transitions : (m, 2) allowed moves r, s
    base_map : (m, B) index of the log intensity of a transition in a band; equal entries share it; -1 forbids it
    effect_map : (m, k) index of the effect of covariate k on a transition; equal entries share it; -1 means none
    change_points : (B-1,) times; band b is (c_b, c_{b+1}], so an event on a change point belongs to the band it ends
    state_sets : (n_sets, K) bool, the sets that CENSORED moves refer to

    Raises ValueError for wrong shapes, numbering with gaps, unordered change points or impossible transitions.
    """

    state_names: tuple[str, ...]
    transitions: Ints
    base_map: Ints
    effect_map: Ints
    change_points: Floats = field(default_factory=lambda: np.empty(0))
    state_sets: Bools = field(default_factory=lambda: np.empty((0, 0), dtype=bool))

    def __post_init__(self) -> None:
        moves, m, n_bands = self.transitions.tolist(), len(self.transitions), len(self.change_points) + 1
        if any(r == s or not {r, s} <= set(range(self.n_states)) for r, s in moves) or len(set(map(tuple, moves))) < m:
            raise ValueError(f"transitions must each join two different states 0..{self.n_states - 1}, once: {moves}")
        if bool(np.any(np.diff(self.change_points, prepend=0.0) <= 0)):
            raise ValueError(f"change points must be positive and increasing: {self.change_points.tolist()}")
        if self.base_map.shape != (m, n_bands) or self.effect_map.shape[:1] != (m,) or self.effect_map.ndim != 2:
            raise ValueError(f"base_map must have shape ({m}, {n_bands}) and effect_map ({m}, covariates)")
        for name, used in {"base_map": self.base_map, "effect_map": self.effect_map}.items():
            if not np.array_equal(np.setdiff1d(used, -1), np.arange(int(used.max(initial=-1)) + 1)):
                raise ValueError(f"{name} must number its parameters 0, 1, 2, ... without a gap (-1 for none)")

    @property
    def n_states(self) -> int:
        """K."""
        return len(self.state_names)

    @property
    def n_base(self) -> int:
        """Number of free log intensities, the first entries of theta."""
        return int(self.base_map.max(initial=-1)) + 1

    @property
    def n_parameters(self) -> int:
        """Length p of theta."""
        return self.n_base + int(self.effect_map.max(initial=-1)) + 1

    def parameter_names(self) -> tuple[str, ...]:
        """Names of theta, (p,): ``log q 1→2 in (0, 6]`` or ``effect 0 of 1→2``, shared uses joined by commas."""
        arrows = ["→".join(self.state_names[i] for i in move) for move in self.transitions]
        edges = [0.0, *self.change_points, np.inf]
        uses: list[list[str]] = [[] for _ in range(self.n_parameters)]
        for m, b in np.argwhere(self.base_map >= 0):
            uses[self.base_map[m, b]].append(f"{arrows[m]} in ({edges[b]:g}, {edges[b + 1]:g}]")
        for m, k in np.argwhere(self.effect_map >= 0):
            uses[self.n_base + self.effect_map[m, k]].append(f"{k} of {arrows[m]}")
        return tuple(("log q " if j < self.n_base else "effect ") + ", ".join(use) for j, use in enumerate(uses))

    def design(self, covariates: Floats) -> Floats:
        """Rows D with ``log q = D theta``, (C, B, m, p), from covariates (C, k)."""
        design = np.zeros((len(covariates), *self.base_map.T.shape, self.n_parameters))
        for m, b in np.argwhere(self.base_map >= 0):
            design[:, b, m, self.base_map[m, b]] = 1.0
        for m, k in np.argwhere(self.effect_map >= 0):
            design[:, :, m, self.n_base + self.effect_map[m, k]] += covariates[:, None, k]
        return design

    def intensities(self, design: Floats, theta: Floats) -> Floats:
        """Intensities per unit of time, (C, B, m); 0 where `base_map` forbids."""
        return np.asarray(np.exp(design @ theta) * (self.base_map.T >= 0))

    def generator(self, q: Floats) -> Floats:
        """Intensity matrices (..., K, K), rows summing to zero, from intensities (..., m)."""
        matrix = np.zeros((*q.shape[:-1], self.n_states, self.n_states))
        matrix[..., self.transitions[:, 0], self.transitions[:, 1]] = q
        return np.asarray(matrix - matrix.sum(axis=-1)[..., None] * np.eye(self.n_states))


@dataclass(frozen=True, slots=True, eq=False)
class Likelihood:
    """Moves arranged by `arrange` so that each exponential and each row of a product is computed once.

    Attributes: `design` (C, B, m, p); `exposure` (n_rows, B), time in each band; `last_band` (n_rows,), band of `stop`;
    `segment` (n_segments, 2) cell, band and `length` (n_segments,); `origin` (n_pairs,) from-state and `steps`
    (n_pairs, B) segment in each band or -1; `pair` (n_rows,); `ends` (n_rows, K), states a move may have arrived in;
    `kept` (K,) bool, states on the way to one of these: the likelihood asks for no other (an end is known to the day).
    Segments are in order of their bands.
    """

    model: PanelModel
    moves: PanelMoves
    design: Floats
    exposure: Floats
    last_band: Ints
    segment: Ints
    length: Floats
    origin: Ints
    steps: Ints
    pair: Ints
    ends: Floats
    kept: Bools

    def arrivals(self, theta: Floats) -> Floats:
        """Return P(start, stop)[from_state, :] of each pair, (n_pairs, K)."""
        cell, band = self.segment.T
        matrix = self.model.generator(self.model.intensities(self.design, theta)[cell, band])
        step, _ = exponential(matrix * self.length[:, None, None], self.length, self.model.transitions[:0])
        return self._walk(step, np.eye(self.model.n_states)[self.origin])[1]

    def log_terms(self, theta: Floats) -> tuple[Floats, Floats]:
        """Return the log-likelihood of one move of each row, (n_rows,), and its score, (n_rows, p)."""
        q = self.model.intensities(self.design, theta)
        step, slopes = self._exponentials(q)
        befores, row = self._walk(step, self._begin())
        after, scores = self._ends(q, row)
        chance = np.einsum("nk,nk->n", row[self.pair], after)
        for b in reversed(range(len(befores))):
            index = self.steps[self.pair, b]
            on = np.flatnonzero(index >= 0)
            new, slope, first = slopes[b]
            here, before, then = index[on] - first, befores[b][self.pair[on]], after[on]
            told = np.zeros((len(on), len(new)))
            # State by state: most of these little matrices are zero, and none need be gathered whole.
            for i, k in np.argwhere((slope != 0).any(axis=(0, 2))):
                told += (before[:, i] * then[:, k])[:, None] * slope[:, i, :, k][here]
            scores[on[:, None], new] += told
            after[on] = np.einsum("gik,gk->gi", step[index[on]], then)
        with np.errstate(divide="ignore", invalid="ignore"):
            logs, scores = np.log(chance), scores / chance[:, None]
        for m, stays, jumps in self._exact():
            risk = self.exposure[stays] * q[self.moves.cell[stays], :, m]
            logs[stays] -= risk.sum(axis=1)
            scores[stays] -= np.einsum("nb,nbp->np", risk, self.design[self.moves.cell[stays], :, m])
            at = self.moves.cell[jumps], self.last_band[jumps], m
            with np.errstate(divide="ignore"):
                logs[jumps] += np.log(q[at])
            scores[jumps] += self.design[at]
        return logs, scores

    def evaluate(self, theta: Floats) -> tuple[float, Floats, Floats]:
        """Log-likelihood, gradient (p,) and empirical information (p, p), the outer products of the scores."""
        logs, scores = self.log_terms(theta)
        count = self.moves.count
        return float(count @ logs), count @ scores, (scores.T * count) @ scores

    def gradient(self, theta: Floats) -> Floats:
        """Return the gradient (p,) alone: what the moves weigh is summed by segment, and no move has its own score."""
        q = self.model.intensities(self.design, theta)
        step, slopes = self._exponentials(q)
        befores, row = self._walk(step, self._begin())
        ends, dends = self._ends(q, row)
        weight = self.moves.count / np.einsum("nk,nk->n", row[self.pair], ends)
        after = _sums(self.pair, weight[:, None] * ends, len(row))
        total = np.asarray(weight @ dends)
        for b in reversed(range(len(befores))):
            on = np.flatnonzero(self.steps[:, b] >= 0)
            new, slope, first = slopes[b]
            index, n = self.steps[on, b], row.shape[1]
            both = (befores[b][on][:, :, None] * after[on][:, None, :]).reshape(len(on), n * n)
            by_segment = _sums(index - first, both, len(slope)).reshape(len(slope), n, n)
            total[new] += np.einsum("gik,gipk->p", by_segment, slope)
            after[on] = np.einsum("gik,gk->gi", step[index], after[on])
        for m, stays, jumps in self._exact():
            risk = self.moves.count[stays, None] * self.exposure[stays] * q[self.moves.cell[stays], :, m]
            total -= np.einsum("nb,nbp->p", risk, self.design[self.moves.cell[stays], :, m])
            total += self.moves.count[jumps] @ self.design[self.moves.cell[jumps], self.last_band[jumps], m]
        return total

    def _begin(self) -> Floats:
        return np.asarray(np.eye(self.model.n_states)[self.origin][:, self.kept])

    def _exponentials(self, q: Floats) -> tuple[Floats, list[tuple[Ints, Floats, int]]]:
        """Return the exponential of each segment, (n_segments, k, k) of the kept states; by band its slopes.

        Of a band: the parameters it has, (P,); the derivatives along them, (segments of the band, k, P, k); and the
        number of its first segment.
        """
        (cell, band), place = self.segment.T, np.where(self.kept, np.cumsum(self.kept) - 1, -1)
        leaving = np.flatnonzero(self.kept[self.model.transitions[:, 0]])
        edges = place[self.model.transitions[leaving]]
        of = q[cell, band]
        matrix = self.model.generator(of)[:, self.kept][:, :, self.kept]
        step, along = exponential(matrix * self.length[:, None, None], self.length, edges)
        slopes = []
        for b in range(self.steps.shape[1]):
            first, last = np.searchsorted(band, [b, b + 1])
            new = np.flatnonzero((self.design[:, b] != 0).any(axis=(0, 1)))
            weight = of[first:last, leaving, None] * self.design[cell[first:last], b][:, leaving][:, :, new]
            slope = along[first:last].transpose(0, 1, 3, 2) @ weight[:, None]
            slopes.append((new, slope.transpose(0, 1, 3, 2), int(first)))
        return step, slopes

    def _walk(self, step: Floats, row: Floats) -> tuple[list[Floats], Floats]:
        """Return the row of each pair before each band, and after the last."""
        befores = []
        for b in range(self.steps.shape[1]):
            befores.append(row)
            on = np.flatnonzero(self.steps[:, b] >= 0)
            row = row.copy()
            row[on] = np.einsum("gi,gik->gk", row[on], step[self.steps[on, b]])
        return befores, row

    def _ends(self, q: Floats, row: Floats) -> tuple[Floats, Floats]:
        """Return what the arrivals of each move weigh, (n_rows, k), and the derivatives of that by theta, (n_rows, p).

        The derivatives are of the weighted row; only ends from an unknown state have any.
        """
        moves, ends = self.moves, self.ends[:, self.kept]
        place, slope = np.cumsum(self.kept) - 1, np.zeros((len(ends), self.design.shape[-1]))
        for m, (r, s) in enumerate(self.model.transitions):
            dead = np.flatnonzero((moves.kind == Kind.DEATH) & (moves.to_state == s))
            if not len(dead):
                continue
            at = moves.cell[dead], self.last_band[dead], m
            ends[dead, place[r]] = q[at]
            slope[dead] += (row[self.pair[dead], place[r]] * q[at])[:, None] * self.design[at]
        return ends, slope

    def _exact(self) -> list[tuple[int, Ints, Ints]]:
        """Return for each transition the rows whose whole path is known in its origin, and those that end in it."""
        moves, found = self.moves, []
        for m, (r, s) in enumerate(self.model.transitions):
            stays = np.flatnonzero((moves.kind == Kind.EXACT) & (moves.from_state == r))
            if len(stays):
                found.append((m, stays, stays[moves.to_state[stays] == s]))
        return found

    def by_parameter(self) -> list[Gradient]:
        """Return for each parameter the gradient of the moves alone that depend on it, (p,)."""
        used, found = (self.design != 0).any(axis=(0, 2)), {}
        for bands in {tuple(np.flatnonzero(column)) for column in used.T}:
            touched = (self.exposure[:, bands] > 0).any(axis=1) | np.isin(self.last_band, bands)
            found[bands] = (self if touched.all() else self.of_rows(np.flatnonzero(touched))).gradient
        return [found[tuple(np.flatnonzero(column))] for column in used.T]

    def of_rows(self, rows: Ints) -> Likelihood:
        """Return the likelihood of these moves alone."""
        of = self.moves
        moves = PanelMoves(of.cell[rows], of.from_state[rows], of.to_state[rows], of.start[rows], of.stop[rows],
                           of.kind[rows], of.count[rows])  # fmt: skip
        pairs, pair = np.unique(self.pair[rows], return_inverse=True)
        kept, steps = np.unique(self.steps[pairs], return_inverse=True)
        # The number -1 stands for no step, and sorts first where there is one.
        none = int(kept[0] == -1) if len(kept) else 0
        steps = steps.reshape(len(pairs), self.steps.shape[1]) - none
        return Likelihood(self.model, moves, self.design, self.exposure[rows], self.last_band[rows],
                          self.segment[kept[none:]], self.length[kept[none:]], self.origin[pairs], steps, pair,
                          self.ends[rows], self.kept)  # fmt: skip


def arrange(model: PanelModel, moves: PanelMoves, covariates: Floats) -> Likelihood:
    """Check the moves against the model and the covariates (C, k), and find what is distinct among them.

    Raises ValueError for states, cells, kinds, counts or times that cannot be, saying in which row.
    """
    exact, point = moves.kind == Kind.EXACT, np.isin(moves.kind, (Kind.EXACT, Kind.DEATH))
    n_ends = np.where(moves.kind == Kind.CENSORED, len(model.state_sets), model.n_states)
    length = moves.stop - moves.start
    wrong = (moves.from_state < 0) | (moves.from_state >= model.n_states) | (moves.to_state < 0)
    wrong |= (moves.to_state >= n_ends) | ~np.isin(moves.kind, list(Kind)) | ~(moves.count > 0)
    wrong |= (moves.cell < 0) | (moves.cell >= len(covariates)) | ~np.isfinite(length * moves.count)
    wrong |= (moves.start < 0) | ~np.where(point, length >= 0, length > 0)
    if not bool(np.isfinite(covariates).all()):
        raise ValueError("covariates hold a missing or infinite value")
    if bool(wrong.any()):
        raise ValueError(f"no such state, cell or kind, or times or counts that cannot be, in rows {bad_rows(wrong)}")
    # An EXACT move needs no product: its pair gets no length and its end is the state it stayed in.
    keys = np.column_stack([moves.cell, moves.from_state, moves.start * ~exact, moves.stop * ~exact])
    pairs, pair = np.unique(keys, axis=0, return_inverse=True)
    overlap = _time_in_bands(model, pairs[:, 2], pairs[:, 3])
    on, band = np.nonzero(overlap)
    segment, index = np.unique(np.column_stack([band, pairs[on, 0], overlap[on, band]]), axis=0, return_inverse=True)
    steps = np.full(overlap.shape, -1)
    steps[on, band] = index
    states, allowed = np.eye(model.n_states), model.generator(np.ones(len(model.transitions))) != 0
    ends = states[np.where(exact, moves.from_state, moves.to_state * (moves.kind != Kind.CENSORED))]
    ends[exact] *= (allowed | (states > 0))[moves.from_state, moves.to_state % model.n_states][exact, None]
    ends[moves.kind == Kind.DEATH] = 0.0
    of_set = np.flatnonzero(moves.kind == Kind.CENSORED)
    if len(of_set):
        ends[of_set] = model.state_sets[moves.to_state[of_set]]
    last = np.searchsorted(model.change_points, moves.stop)
    exposure = _time_in_bands(model, moves.start, moves.stop)
    return Likelihood(model, moves, model.design(covariates), exposure, last, segment[:, [1, 0]].astype(np.int64),
                      segment[:, 2], pairs[:, 1].astype(np.int64), steps, pair, ends,
                      _on_the_way(model, moves, ends, allowed))  # fmt: skip


def _on_the_way(model: PanelModel, moves: PanelMoves, ends: Floats, allowed: Bools) -> Bools:
    """Return which states lead to one that some move may have arrived in, (K,)."""
    wanted: Bools = np.asarray((ends > 0).any(axis=0))
    for r, s in model.transitions:
        wanted[r] |= bool(((moves.kind == Kind.DEATH) & (moves.to_state == s)).any())
    for _ in range(model.n_states):
        wanted = np.asarray(wanted | (allowed & wanted).any(axis=1))
    return wanted


def _sums(group: Ints, values: Floats, groups: int) -> Floats:
    """Return the sums of values (n, k) by group (n,), shape (groups, k)."""
    return np.column_stack([np.bincount(group, column, groups) for column in values.T])


def _time_in_bands(model: PanelModel, start: Floats, stop: Floats) -> Floats:
    edges = np.concatenate([[0.0], model.change_points, [np.inf]])
    return np.asarray(np.clip(np.minimum.outer(stop, edges[1:]) - np.maximum.outer(start, edges[:-1]), 0, None))


def bad_rows(flags: npt.NDArray[np.bool_]) -> str:
    """Name the first ten rows where flags (n,) is true."""
    found = np.flatnonzero(flags)
    return ", ".join(map(str, found[:10])) + (f" and {len(found) - 10} more" if len(found) > 10 else "")
