r"""Bounds from the norms of matrices and of products of consecutive matrices.

The slopes of an activation between two inputs form a diagonal matrix :math:`D = \mathrm{diag}(m) + \mathrm{diag}(r) S` with the
middle m and half the range r of the slopes, and :math:`|S| \le 1`. Expanding :math:`W_l D_l \cdots D_1 W_0` and taking norms gives

.. math:: \theta_k = \|W_k m_k \cdots m_1 W_0\| + \sum_{i=1}^{k} \theta_{i-1} \max r_i\, \|W_k m_k \cdots m_{i+1} W_i\| ,

which holds in every norm in which a diagonal matrix has the norm of its largest entry, and never exceeds the product of norms for
slopes in [0, 1]. For two matrices and ReLU it is the mean of :math:`\|W_1\| \|W_0\|` and :math:`\|W_1 W_0\|`.

References:
    Combettes & Pesquet (2020), Lipschitz certificates for layered network structures driven by averaged activation operators,
        arXiv:1903.01014.
    Virmaux & Scaman (2018), Lipschitz regularity of deep neural networks: analysis and efficient estimation, arXiv:1805.10965
        (bounds of pairs of layers).
"""

import torch

from wdist.bounds.lipschitz.matrix import Matrix
from wdist.bounds.lipschitz.operators import MOST_ENTRIES
from wdist.bounds.lipschitz.semidefinite import Layers, SlopeRange
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, product_above, sum_above

_MOST_WORK = 4e10
"""Most multiplications for the norms of products; longer products are bounded by products of norms."""


def layer_norms(layers: Layers, metric: GroundMetric) -> list[float]:
    """A proved upper bound for the norm of each matrix."""
    return [matrix.norm(metric) for matrix in layers.matrices]


def product_bound(layers: Layers, norms: list[float]) -> float:
    """The product of the norms of the matrices and the steepest slopes of the activations."""
    return product_above(*norms, *(slopes.steepest for slopes in layers.slopes))


def averaged_bound(layers: Layers, norms: list[float], metric: GroundMetric) -> float:
    """The bound in the module's docstring, for layers whose individual norms are known."""
    count, longest = len(layers.matrices), _longest(layers)
    middles = [float(slopes.middle.abs().max()) for slopes in layers.slopes]
    ranges = [_range(slopes) for slopes in layers.slopes]
    norm: dict[tuple[int, int], float] = {}
    for first in reversed(range(count)):  # so that the part after a split is known
        product: Matrix | None = None
        for last in range(first, count):
            # The best of the products of norms, over all splits, and the norm of the product.
            splits = [product_above(norm[first, k], middles[k], norm[k + 1, last]) for k in range(first, last)]
            candidates = [norms[first]] if first == last else splits
            entries = len(layers.matrices[last].value) * layers.matrices[first].value.shape[1]
            if first == last:
                product = layers.matrices[first]
            elif product is not None and last - first < longest and entries <= MOST_ENTRIES:
                product = layers.matrices[last].scaled(layers.slopes[last - 1].middle) @ product
                candidates.append(product.norm(metric))
            else:
                product = None  # longer products, which begin with this one, are skipped as well
            norm[first, last] = min(candidates)
    theta: list[float] = []
    for k in range(count):
        through = [product_above(theta[i - 1], ranges[i - 1], norm[i, k]) for i in range(1, k + 1)]
        theta.append(sum_above(norm[0, k], *through))
    return theta[-1]


def _range(slopes: SlopeRange) -> float:
    """The largest distance of a slope from the middle as it was computed."""
    distances = torch.maximum(slopes.high - slopes.middle, slopes.middle - slopes.low)
    return float(distances.max()) * (1 + 4 * UNIT_ROUNDOFF)


def _longest(layers: Layers) -> int:
    """The largest number of consecutive matrices to multiply."""
    largest = max(max(matrix.value.shape) for matrix in layers.matrices)
    pairs = _MOST_WORK / (30.0 * largest**3 * len(layers.matrices))
    return max(2, min(len(layers.matrices), int(pairs)))
