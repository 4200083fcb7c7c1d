"""The dual value of a frozen critic, and the lower bound for W1 that follows from it and its certificate.

Kantorovich and Rubinstein: W1(P, Q) >= (E_P f - E_Q f) / K for every f with Lip(f) <= K, whatever the training did.
"""

import math
from array import array
from collections.abc import Iterable

import numpy as np
from torch import Tensor

from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF


def evaluate(critic: FrozenCritic, batches: Iterable[Tensor]) -> Potentials:
    """Potentials of all samples, batch by batch; the rounding is that of the worst batch."""
    # In one growing block: thousands of small arrays between the large ones of the layers would leave holes in the heap, which came
    # to 40 % of a set of 2 GB.
    values, rounding = array("d"), 0.0
    for batch in batches:
        part = critic.evaluate(batch)
        values.frombytes(part.values.tobytes())
        rounding = max(rounding, part.rounding)
    return Potentials(values=np.frombuffer(values), rounding=rounding)


def exact_mean(values: np.ndarray) -> float:
    """The mean of an exact sum (Shewchuk's algorithm, :func:`math.fsum`), rounded and divided."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:  # of the sum; a power of two takes no digit from such values
        return math.fsum(values * 2.0**-64) / len(values) * 2.0**64


def dual_value(a: Potentials, b: Potentials) -> float:
    """Mean potential on A less mean potential on B, in the units of the potentials."""
    return exact_mean(a.values) - exact_mean(b.values)


def lower_bound(a: Potentials, b: Potentials, lipschitz_bound: float) -> float:
    """A number that W1 between the two empirical measures certainly is not below.

    The dual value less all rounding (of the potentials, of the two means and of this very computation), divided by the
    certificate, and never below 0. The worst case of each rounding is taken, so that no tolerance is needed to compare.

    Arguments:
        a, b: potentials of all samples of each side.
        lipschitz_bound: the certificate of the critic, K > 0.
    """
    mean_a, mean_b = exact_mean(a.values), exact_mean(b.values)
    # Each mean rounds twice, their difference once.
    means = 4 * UNIT_ROUNDOFF * (abs(mean_a) + abs(mean_b)) + 2.0**-1072
    certain = (mean_a - mean_b) - (a.rounding + b.rounding + means) * (1 + 8 * UNIT_ROUNDOFF)
    if not lipschitz_bound > 0 or not certain > 0:
        return 0.0
    return math.nextafter(certain / lipschitz_bound * (1 - 4 * UNIT_ROUNDOFF), 0.0)
