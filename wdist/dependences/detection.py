r"""Dependence that a critic finds on held-out rows, using all pairs of rows in a block.

With :math:`F_{ij} = f(x_i, y_j)` of held-out rows, in blocks of at most some hundreds,

.. math:: \hat\theta = \operatorname{mean}_i F_{ii} - \operatorname{mean}_{i \ne j} F_{ij}

has the expectation :math:`\mathbb{E} f(X, Y) - \mathbb{E} f(X, Y')`, which is at most W1 for a 1-Lipschitz f. Its standard error
follows from the influence of each row, :math:`F_{ii} - F_{i \cdot} - F_{\cdot i}`, and from the remainder of each pair,
:math:`R_{ij} = F_{ij} - F_{i \cdot} - F_{\cdot j} + F_{\cdot \cdot}`. The remainders matter if all influences are nearly equal, for
example if y is a function of x whose values are equally frequent:

.. math:: \mathrm{Var}\, \hat\theta \approx \frac{s^2}{n} + \frac{\operatorname{mean}_{i \ne j} (R_{ij} + R_{ji})^2}{2 n (n - 1)}

If x and y are independent, every order of the y within a block is equally likely, so the fraction of random orders with a trace at
least as large as the observed one is a p-value for any number of rows.

References:
    Hoeffding (1948), A class of statistics with asymptotically normal distribution.
    Pitman (1937), Significance tests which may be applied to samples from any populations, II: the correlation coefficient test.
    Phipson & Smyth (2010), Permutation p-values should never be zero, arXiv:1603.05766.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from wdist.bounds.mean_difference import PERMUTATIONS

_EVALUATIONS, _SMALLEST_BLOCK = 160_000, 16
"""Approximate number of pairs of rows at which the critic is evaluated, and the fewest rows in a block."""
_CHUNK = 1 << 21


@dataclass(frozen=True, kw_only=True)
class DetectedDependence:
    """Dependence found on held-out rows: a two-sided interval for what this critic finds, and a test of independence."""

    estimate: float
    """Mean value of rows minus that of recombined rows, divided by the certificate."""
    lower: float
    """Lower end of the interval; W1 is at least this large."""
    upper: float
    """Upper end of what this critic finds; W1 may be larger."""
    confidence: float
    """Confidence of this interval on its own, asymptotic."""
    standard_error: float
    p_value: float
    """P-value of independence by permutation, exact for any number of rows."""
    rows: int
    """Held-out rows, each combined with those of its block."""
    permuted: np.ndarray = field(compare=False, repr=False)
    """Estimates for random orders, shape (9999,)."""

    @property
    def significant(self) -> bool:
        """Whether a test at this level finds that the columns depend on each other."""
        return self.p_value <= 1 - self.confidence


def blocks_of(rows: np.ndarray) -> list[np.ndarray]:
    """Rows in blocks of nearly equal size; in a single block if they have few enough pairs."""
    size = max(_SMALLEST_BLOCK, _EVALUATIONS // len(rows))
    return np.array_split(rows, max(1, round(len(rows) / size)))


def detect_dependence(
    values: Callable[[np.ndarray, np.ndarray], np.ndarray], rows: np.ndarray, *, confidence: float, seed: int
) -> DetectedDependence:
    """Judges a critic on rows that it does not depend on.

    Arguments:
        values: potentials of the critic, divided by its certificate, at the x of some rows with the y of others, shape (k,).
        rows: numbers of independent rows, in an order that does not depend on their values.
        confidence: confidence of the interval; the level of the test is 1 - ``confidence``.
        seed: seed of the random orders.
    """
    from scipy.special import stdtrit  # imported late, because it takes a quarter of a second

    tables = [values(np.repeat(block, len(block)), np.tile(block, len(block))).reshape(len(block), -1) for block in blocks_of(rows)]
    influences, differences, remainders = zip(*map(_decomposed, tables), strict=True)
    influence = np.concatenate(influences)
    n = len(influence)
    estimate = math.fsum(len(table) * each for table, each in zip(tables, differences, strict=True)) / n
    of_pairs = math.fsum((len(table) / n) ** 2 * each for table, each in zip(tables, remainders, strict=True))
    error = math.sqrt(float(influence.var(ddof=1)) / n + of_pairs)
    slack = 1e-12 * max(float(np.abs(table).max()) for table in tables)
    if max(abs(estimate), error) <= slack:  # nothing but rounding
        estimate = error = 0.0
    margin = float(stdtrit(n - 1, (1 + confidence) / 2)) * error
    permuted = _permuted(tables, np.random.default_rng([seed, n, 7]))
    # Sums that differ only by the rounding of another order count as equal.
    trace = math.fsum(float(np.trace(table)) for table in tables) / n
    reached = int((permuted >= trace - slack).sum())
    return DetectedDependence(
        estimate=estimate,
        lower=estimate - margin,
        upper=estimate + margin,
        confidence=confidence,
        standard_error=error,
        p_value=(1 + reached) / (1 + PERMUTATIONS),
        rows=n,
        permuted=estimate - trace + permuted,
    )


def _decomposed(table: np.ndarray) -> tuple[np.ndarray, float, float]:
    """The influence of each row of a block, shape (n,), up to a constant; the difference of both means; and the part of its
    variance that is due to pairs."""
    n, own = len(table), np.diag(table)
    others = [(table.sum(axis) - own) / (n - 1) for axis in (0, 1)]
    centre = float(others[0].mean())
    rest = table - others[1][:, None] - others[0] + centre
    np.fill_diagonal(rest, 0.0)
    of_pairs = float(np.square(rest + rest.T).sum()) / (2 * (n * (n - 1)) ** 2)
    return own - others[0] - others[1] + centre, float(own.mean()) - centre, of_pairs


def _permuted(tables: Sequence[np.ndarray], random: np.random.Generator) -> np.ndarray:
    """Mean values of the rows in random orders of y within each block, shape (9999,)."""
    total = np.zeros(PERMUTATIONS)
    for table in tables:
        n = len(table)
        step = max(1, _CHUNK // n)
        for start in range(0, PERMUTATIONS, step):
            count = min(step, PERMUTATIONS - start)
            orders = random.permuted(np.broadcast_to(np.arange(n), (count, n)), axis=1)
            total[start : start + count] += table[np.arange(n), orders].sum(1)
    return total / sum(map(len, tables))
