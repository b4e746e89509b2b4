"""Clinical questions, each answered from SQL reductions by numerics on small arrays."""

from analysis.describe import describe
from analysis.replacement import joint_replacement
from analysis.response import time_to_response
from analysis.result import Result

__all__ = ["Result", "describe", "joint_replacement", "time_to_response"]
