"""What a value is that was given for an argument: a number, a whole one, or neither."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TypeGuard


def is_number(value: object) -> TypeGuard[float]:
    """Say whether it is a number: no text, not infinite, and not yes or no."""
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def is_whole(value: object) -> TypeGuard[int]:
    """Say whether it is a whole number, as counts of draws are; 10.0 is none."""
    return isinstance(value, Integral) and not isinstance(value, bool)
