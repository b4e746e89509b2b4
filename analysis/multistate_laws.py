"""What a fitted stratum says of a course: probabilities of its states by day, and days in them, with gradients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analysis.multistate import LOST, RESPONSE, STATES, WAITING, StratumFit
from analysis.numerics.panel_markov_prediction import mix, restricted_mean_time, row_probabilities

Floats = NDArray[np.float64]
_NO_COVARIATES = np.empty(0)


@dataclass(frozen=True, eq=False)
class Laws:
    """Laws of the strata in `fits`, by code; gradients are by the parameters of the stratum, (p,)."""

    fits: Mapping[str, StratumFit]

    def occupation(self, code: str, days: Floats) -> tuple[Floats, Floats]:
        """Return the probability of each state by day (T, 5) and its gradient (T, 5, p), from no response on day 0."""
        return self._law(code, days, WAITING, 0.0, None)

    def as_seen(self, code: str, days: Floats) -> Floats:
        """Return the probability of each state by day, (T, 5), of courses such as the stratum's own."""
        return self.occupation(code, days)[0]

    def first_response(self, code: str, days: Floats) -> tuple[Floats, Floats]:
        """Return the same with nothing leaving the response: in it by a day is to have responded by then."""
        return self._law(code, days, WAITING, 0.0, RESPONSE)

    def after_response(self, code: str, days: Floats, landmark: float) -> tuple[Floats, Floats]:
        """Return the same for a course in response on day `landmark`, by days since; nothing leaves the lost state."""
        return self._law(code, landmark + days, RESPONSE, landmark, LOST)

    def mean_days(self, code: str, horizon: float) -> tuple[Floats, Floats]:
        """Return the mean days in response up to `horizon` (1,) and the gradient (1, p)."""
        fit = self.fits[code].fit
        if fit is None:
            return np.zeros(1), np.zeros((1, 0))
        found = restricted_mean_time(fit, _NO_COVARIATES, horizon, np.eye(len(STATES))[WAITING])
        return found.estimate[[RESPONSE]], found.gradient[[RESPONSE]]

    def _law(self, code: str, days: Floats, origin: int, start: float, final: int | None) -> tuple[Floats, Floats]:
        initial, fit = np.eye(len(STATES))[origin], self.fits[code].fit
        if fit is None:
            return np.tile(initial, (len(days), 1)), np.zeros((len(days), len(STATES), 0))
        inner = row_probabilities(fit, _NO_COVARIATES, start, days, final)
        return mix(np.eye(len(days)), initial, inner)(fit.theta, True)
