"""Clinical questions, each answered from SQL reductions by numerics on small arrays."""

from analysis.adjusted_loss import adjusted_loss, adjusted_time_in_response
from analysis.adjusted_replacement import adjusted_replacement
from analysis.adjusted_response import adjusted_response
from analysis.booster import booster_effect
from analysis.counts_file import read_counts, write_counts
from analysis.describe import describe
from analysis.description import Description
from analysis.dose import dose_response
from analysis.estimand import estimand
from analysis.explorer_view import explore
from analysis.goals import goals
from analysis.growth import growth
from analysis.harm_table import safety_by_grade
from analysis.imputed_change import imputed_change
from analysis.loss_of_response import loss_of_response, time_in_response
from analysis.outlook import outlook
from analysis.patterns import score_patterns
from analysis.pooled import answer, pool, reduce_for
from analysis.reduction import Reduction
from analysis.replacement import joint_replacement
from analysis.response import time_to_response
from analysis.response_at_visits import response_at_visits
from analysis.result import Result
from analysis.safety import safety
from analysis.second_opinion import second_opinion
from analysis.specifications import specifications
from analysis.states_by_visit import states_by_visit, swimmer
from analysis.subgroups import subgroups
from analysis.trajectories import trajectories
from analysis.weights import booster_weights, seen_weights

__all__ = [
    "Description",
    "Reduction",
    "Result",
    "adjusted_loss",
    "adjusted_replacement",
    "adjusted_response",
    "adjusted_time_in_response",
    "answer",
    "booster_effect",
    "booster_weights",
    "describe",
    "dose_response",
    "estimand",
    "explore",
    "goals",
    "growth",
    "imputed_change",
    "joint_replacement",
    "loss_of_response",
    "outlook",
    "pool",
    "read_counts",
    "reduce_for",
    "response_at_visits",
    "safety",
    "safety_by_grade",
    "score_patterns",
    "second_opinion",
    "seen_weights",
    "specifications",
    "states_by_visit",
    "subgroups",
    "swimmer",
    "time_in_response",
    "time_to_response",
    "trajectories",
    "write_counts",
]
