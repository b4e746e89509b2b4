"""Log-rank test where patients have several courses, which are not independent.

References
----------
Lee EW, Wei LJ, Amato DA (1992). Cox-type regression analysis for large numbers of small groups of correlated failure
time observations. In Survival Analysis: State of the Art, 237-247.
"""

import numpy as np
from numpy.typing import NDArray

from analysis.numerics.cox import likelihood_state, risk_sets, score_residuals
from analysis.numerics.resampling import Clusters

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def clustered_log_rank(day: Floats, event: Ints, group: Ints, count: Floats, patients: Clusters) -> tuple[float, int]:
    """Return the chi-squared of equal hazards in all groups and its degrees of freedom, clustered by patient.

    The score of a Cox model of the groups at no difference is the log-rank statistic; its variance is that of the
    patients' sums (Lee, Wei & Amato 1992).

    Parameters
    ----------
    day, event, group, count
        Of each cell, (cells,): day, event 1 or 0, group, and how many courses.
    patients
        Patients by the cells they contribute to.

    Raises
    ------
    ValueError
        When nothing happened.
    """
    x = (group[:, None] == np.unique(group)[1:]).astype(float)
    rows = risk_sets(x, day, event, weight=count, ties="breslow")
    score = np.zeros(x.shape)
    score[rows.kept] = score_residuals(rows, likelihood_state(rows, np.zeros(x.shape[1])))[1]
    each = patients.content @ score
    total, spread = patients.patients @ each, (each * patients.patients[:, None]).T @ each
    return float(total @ np.linalg.pinv(spread, hermitian=True) @ total), int(np.linalg.matrix_rank(spread))
