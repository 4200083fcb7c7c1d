"""What float64 asks of statistics: units in which squares neither overflow nor vanish, and how far it rounds."""

import math

import numpy as np

UNIT_ROUNDOFF = float(np.finfo(np.float64).eps) / 2
"""By which share of itself a sum or product may be off."""


def power_of_two(*values: np.ndarray) -> float:
    """A power of two near the largest of all values: to divide by it rounds nothing. 1 where all are 0, or one is not finite."""
    largest = max(float(np.abs(part).max(initial=0.0)) for part in values)
    return 2.0 ** (math.frexp(largest)[1] - 1) if 0 < largest < math.inf else 1.0
