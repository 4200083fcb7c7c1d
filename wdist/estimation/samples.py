"""Samples that closed forms follow from, and potentials of many samples."""

from wdist.bounds.dual import evaluate
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.data.measure import Measure
from wdist.data.rows import ResidentRows, Rows

FIT_ROWS = 20_000
"""Training samples of each side that a closed form follows from, at most."""
_BATCH_NUMBERS = 1 << 18
"""Coordinates evaluated at a time: 2 MB in float64, which stays in the cache of one core."""


def training_sample(measure: Measure, limit: int) -> ResidentRows:
    """At most ``limit`` training samples, and no more than 20,000."""
    return measure.training_sample(max(1, min(limit, FIT_ROWS)))


def evaluate_rows(critic: FrozenCritic, rows: Rows) -> Potentials:
    """Potentials of all of ``rows``, in batches that suit the critic."""
    return evaluate(critic, rows.batches(max(1, _BATCH_NUMBERS // max(critic.dim, 256))))
