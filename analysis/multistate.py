"""Five states of a course seen at visits: which intensities can be told, their fit, and what follows from it.

States: 0 no response yet, 1 in response, 2 response lost, 3 ended, 4 dead. Intensities are constant within bands of
time since treatment (Kalbfleisch & Lawless 1985, JASA 80:863): each way has its own in each band that can tell it.
The ways are response, loss, return, the end while in response and outside it, and death, the same from all states.
Strata are fitted apart, which is the model with every effect of the stratum; what they share is patients: the
covariance knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from analysis.numerics.laws import chi2_above
from analysis.numerics.panel_markov import PanelFit, fit_panel_markov
from analysis.numerics.panel_markov_likelihood import Kind, Likelihood, PanelModel, PanelMoves, arrange

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STATES = ("no_response_yet", "in_response", "response_lost", "ended", "dead")
WAITING, RESPONSE, LOST, ENDED, DEAD = range(5)
# The sets of states that CENSORED moves refer to.
LIVE, UNSEEN = range(2)
# A band has an intensity of its own when it shows as many moves, or was watched so long that as many were expected at
# the rate of all days: few moves in much time say that the intensity is low. Else it shares that of its neighbour.
FEWEST_MOVES = 2.0
# So far below the rate of all days (1/400) an intensity that is not determined is zero, rather than not told apart.
_NONE_LOG = -6.0

# The transitions of a way have one intensity in a band: who waits and who lost a response end alike, all die alike.
WAYS: dict[str, tuple[tuple[int, int], ...]] = {
    "no_response_yet → in_response": ((WAITING, RESPONSE),),
    "in_response → response_lost": ((RESPONSE, LOST),),
    "response_lost → in_response": ((LOST, RESPONSE),),
    "end while in response": ((RESPONSE, ENDED),),
    "end outside response": ((WAITING, ENDED), (LOST, ENDED)),
    "death": ((WAITING, DEAD), (RESPONSE, DEAD), (LOST, DEAD)),
}
_NAMES = tuple(WAYS)
# Seen on their day; the others between two visits.
_EXACT = 3
_NO_COVARIATES = np.zeros((1, 0))


@dataclass(frozen=True, slots=True, eq=False)
class StratumFit:
    """The fit of one stratum.

    Attributes
    ----------
    fit : None when nothing was seen to happen; likelihood : its moves arranged
    bands : (B,) parameter index of the loss intensity in each band, -1 where loss is not in the model
    notes : one sentence for each transition left out and each band that shares its neighbour's intensity
    """

    fit: PanelFit | None
    likelihood: Likelihood | None
    bands: Ints
    notes: tuple[str, ...]

    @property
    def undetermined(self) -> int:
        """Number of intensities that the data leave without an error."""
        return 0 if self.fit is None else int(np.isnan(np.diag(self.fit.covariance)).sum())

    @property
    def n_parameters(self) -> int:
        """Number of free intensities."""
        return 0 if self.fit is None else len(self.fit.theta)


def fit_stratum(moves: PanelMoves, change_points: Floats) -> StratumFit:
    """Fit the intensities that the moves of one stratum can tell.

    Parameters
    ----------
    moves : states 0..4; CENSORED moves refer to set 0, the live states, or set 1, waiting or lost; times in days
    change_points : (B-1,) days on which intensities may change; those after the last observation are left out

    Raises
    ------
    ValueError
        When the likelihood has no maximum that could be found, with the reason.
    """
    inside = change_points[change_points < moves.stop.max(initial=0)]
    shown, watched = moves_by_band(moves, inside), _time_by_band(moves, inside)
    groups, notes = _groups(shown, watched, inside)
    rates = np.log(np.maximum(shown.sum(axis=1), 1e-300) / np.maximum(watched.sum(axis=1), 1e-300))
    last: PanelFit | None = None
    while True:
        model, names = _model(groups, inside)
        if model is None:
            return StratumFit(None, None, np.full(len(change_points) + 1, -1), ("nothing was seen to happen",))
        fit = last = fit_panel_markov(model, moves, _NO_COVARIATES, start=_start(model, last))
        undetermined = np.flatnonzero(np.isnan(np.diag(fit.covariance)))
        simpler = _simplify(groups, names, fit, undetermined, rates)
        if simpler is None:
            break
        groups, why = simpler
        notes += (why,)
    row = np.flatnonzero((model.transitions == (RESPONSE, LOST)).all(axis=1))
    bands = model.base_map[row[0]] if len(row) else np.full(len(inside) + 1, -1)
    bands = np.concatenate([bands, np.repeat(bands[-1:], len(change_points) - len(inside))])
    notes += (*_never_seen(model, moves), *fit.identifiability)
    return StratumFit(fit, arrange(model, moves, _NO_COVARIATES), bands, notes)


def _start(model: PanelModel, last: PanelFit | None) -> Floats | None:
    """Return where to begin from a fit with more parameters: each takes the value of one that stood in its place."""
    if last is None:
        return None
    held = {tuple(way): row for way, row in zip(last.model.transitions.tolist(), last.model.base_map, strict=True)}
    start = np.zeros(model.n_parameters)
    for way, bands in zip(model.transitions.tolist(), model.base_map, strict=True):
        for new, old in zip(bands, held[tuple(way)], strict=True):
            if new >= 0 and old >= 0:
                start[new] = max(start[new], last.theta[old]) if start[new] < 0 else last.theta[old]
    return start


def _simplify(
    groups: Ints, names: list[tuple[int, int]], fit: PanelFit, undetermined: Ints, rates: Floats
) -> tuple[Ints, str] | None:
    """Return a model with fewer parameters where the data do not determine them, or None if all is told."""
    fewer = groups.copy()
    unknown = [(names[j], float(fit.theta[j])) for j in undetermined]
    zero = [(way, group) for (way, group), theta in unknown if theta < rates[way] + _NONE_LOG]
    if zero:
        ways = sorted({way for way, _ in zero})
        for way in ways:
            gone = np.isin(groups[way], [group for w, group in zero if w == way])
            left = np.unique(groups[way][~gone & (groups[way] >= 0)])
            fewer[way] = np.where(gone | (groups[way] < 0), -1, np.searchsorted(left, groups[way]))
        told = "; ".join(_NAMES[way] for way in ways)
        return fewer, f"{told}: the likelihood is highest with none in some bands of days; taken as none there"
    for (way, group), _ in unknown:
        if groups[way].max() > 0:
            fewer[way] = np.where(groups[way] >= max(group, 1), groups[way] - 1, groups[way])
            return fewer, f"{_NAMES[way]}: a band that the data do not tell apart shares its neighbour's intensity"
        if way >= _EXACT:
            fewer[way] = -1
            return fewer, f"{_NAMES[way]}: the likelihood is highest without it; left out of the model"
    return None


def moves_by_band(moves: PanelMoves, change_points: Floats) -> Floats:
    """Count moves by way and band, (6, B): of the day of an end, else of the middle of the visit interval."""
    middle = np.searchsorted(change_points, (moves.start + moves.stop) / 2)
    on_day = np.searchsorted(change_points, moves.stop)
    seen, end = moves.kind == Kind.PANEL, moves.kind == Kind.DEATH
    ended, inside = end & (moves.to_state == ENDED), moves.from_state == RESPONSE
    shows = (
        seen & (moves.from_state == WAITING) & (moves.to_state != WAITING),
        seen & (moves.from_state != LOST) & (moves.to_state == LOST),
        seen & (moves.from_state == LOST) & (moves.to_state == RESPONSE),
        ended & inside,
        ended & ~inside,
        end & (moves.to_state == DEAD),
    )
    n_bands = len(change_points) + 1
    bands = [middle] * _EXACT + [on_day] * (len(shows) - _EXACT)
    return np.array([np.bincount(b[s], moves.count[s], n_bands) for s, b in zip(shows, bands, strict=True)])


def _time_by_band(moves: PanelMoves, change_points: Floats) -> Floats:
    """Return the days for which somebody was last seen where a way begins, by way and band, (6, B)."""
    edges = np.array([0.0, *change_points, np.inf])
    inside = np.minimum(moves.stop[:, None], edges[1:]) - np.maximum(moves.start[:, None], edges[:-1])
    days = np.maximum(inside, 0.0) * moves.count[:, None]
    return np.array([days[np.isin(moves.from_state, [r for r, _ in ways])].sum(axis=0) for ways in WAYS.values()])


def _groups(shown: Floats, watched: Floats, change_points: Floats) -> tuple[Ints, tuple[str, ...]]:
    """Number the intensities of each way, (6, B); -1 where it is zero. Say which bands share one and which show none.

    From the left, a band is closed once it has shown enough or was watched enough; what is left over at the end joins
    the last one closed.
    """
    groups = np.full(shown.shape, -1, dtype=np.int64)
    notes: list[str] = []
    edges = [0.0, *change_points, np.inf]
    days = [f"({edges[b]:g}, {edges[b + 1]:g}]" for b in range(shown.shape[1])]
    for way, (counts, time) in enumerate(zip(shown, watched, strict=True)):
        if counts.sum() == 0:
            continue
        expected = counts.sum() * time / max(time.sum(), 1e-300)
        number, place, seen, due = 0, np.zeros(len(counts), dtype=np.int64), 0.0, 0.0
        for b, n in enumerate(counts):
            place[b], seen, due = number, seen + n, due + expected[b]
            if max(seen, due) >= FEWEST_MOVES:
                number, seen, due = number + 1, 0.0, 0.0
        place = np.minimum(place, max(number - 1, 0))
        held = np.bincount(place, counts)
        groups[way] = np.where(held > 0, np.cumsum(held > 0) - 1, -1)[place]
        empty = [days[b] for b in range(len(counts)) if held[place[b]] == 0]
        if empty:
            notes.append(f"{_NAMES[way]}: none seen in days {', '.join(empty)}, where some were expected; "
                         "taken as none")  # fmt: skip
        shared = [days[b] for b in range(len(counts)) if (place == place[b]).sum() > 1]
        if shared:
            notes.append(f"{_NAMES[way]}: fewer than {FEWEST_MOVES:g} moves seen or expected in some of "
                         f"days {', '.join(shared)}; they share one intensity")  # fmt: skip
    return groups, tuple(notes)


def _model(groups: Ints, change_points: Floats) -> tuple[PanelModel | None, list[tuple[int, int]]]:
    """Return the model of the ways that have an intensity, None if none has, and what each parameter is: way, group."""
    entered = {WAITING: True, RESPONSE: groups[0].max() >= 0, LOST: groups[1].max() >= 0}
    transitions, rows, names = [], [], list[tuple[int, int]]()
    for k, (ways, group) in enumerate(zip(WAYS.values(), groups, strict=True)):
        held = [way for way in ways if entered[way[0]]]
        if group.max() < 0 or not held:
            continue
        transitions += held
        rows += [np.where(group >= 0, len(names) + group, -1)] * len(held)
        names += [(k, g) for g in range(int(group.max()) + 1)]
    if not transitions:
        return None, names
    sets = np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 0]], dtype=bool)
    effects = np.zeros((len(transitions), 0), dtype=np.int64)
    return PanelModel(STATES, np.array(transitions), np.array(rows), effects, change_points, sets), names


def _never_seen(model: PanelModel, moves: PanelMoves) -> tuple[str, ...]:
    held = {tuple(t) for t in model.transitions.tolist()}
    wanted = [(WAITING, RESPONSE), (RESPONSE, LOST), (LOST, RESPONSE), (WAITING, ENDED), (RESPONSE, ENDED),
              (WAITING, DEAD)]  # fmt: skip
    absent = [f"{STATES[r]} → {STATES[s]}" for r, s in wanted if (r, s) not in held]
    return (f"never seen and left out of the model: {', '.join(absent)}",) if absent else ()


def joint_variance(fits: list[StratumFit], rows: list[Ints], content: sparse.csr_matrix, patients: Floats) -> Floats:
    """Sandwich covariance of the parameters of all strata one after the other, (P, P), clustered by patient.

    Parameters
    ----------
    rows : for each fit, the cells of its moves in order
    content : (patterns, cells), how often one patient of a pattern made each move; patients : (patterns,)

    Notes
    -----
    Two knees of one patient may be of different stages: the blocks between strata are not zero. No small-sample factor.
    What the data do not determine is held where it is, without an error: the others have theirs given it.
    """
    influence = np.zeros((content.shape[1], sum(f.n_parameters for f in fits)))
    at = 0
    for f, cells in zip(fits, rows, strict=True):
        if f.fit is not None and f.likelihood is not None:
            scores = f.likelihood.log_terms(f.fit.theta)[1]
            influence[cells, at : at + f.n_parameters] = scores @ np.nan_to_num(f.fit.covariance)
            at += f.n_parameters
    total = np.zeros((influence.shape[1], influence.shape[1]))
    for start in range(0, content.shape[0], 50_000):  # patterns at a time, for memory
        of_patient = content[start : start + 50_000] @ influence
        total += of_patient.T @ (of_patient * patients[start : start + 50_000, None])
    return total


@dataclass(frozen=True, slots=True, eq=False)
class LivePearson:
    """Observed and expected moves between live states, given that the course was alive at the visit.

    Attributes: `observed`, `expected` (B, 3, 3) by band of the visit, from, to; `statistic`; the law of the statistic
    lies about between chi-squared on `df_low` and `df_high` (Titman 2009), with upper tails `p_low` and `p_high`.
    """

    observed: Floats
    expected: Floats
    statistic: float
    df_low: int
    df_high: int
    p_low: float
    p_high: float


def live_pearson(f: StratumFit) -> LivePearson:
    """Compare moves between visits with what the fit expects (Aguirre-Hernández & Farewell 2002, Stat Med 21:1899).

    Given the live states at both visits, whoever ended in between needs no imagined visit at which it was seen.
    """
    assert f.fit is not None and f.likelihood is not None
    moves, model = f.likelihood.moves, f.fit.model
    chance = f.likelihood.arrivals(f.fit.theta)[f.likelihood.pair][:, :ENDED]
    chance /= chance.sum(axis=1, keepdims=True)
    # From waiting, lost looks like waiting.
    unseen = moves.from_state == WAITING
    chance[unseen] = np.column_stack(
        [chance[unseen][:, [0, 2]].sum(axis=1), chance[unseen][:, 1], 0 * chance[unseen][:, 2]]
    )
    band = np.searchsorted(model.change_points, moves.stop)
    still = (moves.kind == Kind.CENSORED) & (moves.to_state == UNSEEN)
    seen, to = (moves.kind == Kind.PANEL) | still, np.where(still, WAITING, moves.to_state)
    observed = np.zeros((len(model.change_points) + 1, 3, 3))
    expected = np.zeros_like(observed)
    np.add.at(observed, (band[seen], moves.from_state[seen], to[seen]), moves.count[seen])
    np.add.at(expected, (band[seen], moves.from_state[seen]), moves.count[seen, None] * chance[seen])
    possible = expected > 1e-9
    deviation = (observed - expected) ** 2 / np.where(possible, expected, 1.0)
    statistic = float(deviation[possible].sum())
    high = int(np.maximum(possible.sum(axis=2) - 1, 0).sum())
    low = max(high - f.n_parameters, 1)
    tails = [float(chi2_above(statistic, max(df, 1))) for df in (low, high)]
    return LivePearson(observed, expected, statistic, low, high, tails[0], tails[1])
