r"""Semidefinite bounds for networks of matrices and activations with bounded slopes (LipSDP).

Let :math:`x_i = \phi_i(W_{i-1} x_{i-1} + b_{i-1})` elementwise, with slopes in :math:`[\alpha, \beta]`, and
:math:`y = W_l x_l`. For two inputs and the differences :math:`\Delta` that they cause, every unit satisfies
:math:`(\Delta x - \alpha \Delta v)(\Delta x - \beta \Delta v) \le 0` with :math:`v = W x`. So if multipliers
:math:`t \ge 0` and :math:`\rho` make the matrix of the quadratic form

.. math:: \rho \|\Delta x_0\|^2 - \|W_l \Delta x_l\|^2
    + \sum_j t_j (\Delta x_j - \alpha_j \Delta v_j)(\Delta x_j - \beta_j \Delta v_j)

positive semidefinite, then :math:`\|\Delta y\| \le \sqrt\rho\, \|\Delta x_0\|`. Each unit has one multiplier, because multipliers
that couple units are invalid (Pauli et al.). However the multipliers were found, :func:`proved` proves the inequality in float64.

References:
    Fazlyab, Robey, Hassani, Morari & Pappas (2019), Efficient and accurate estimation of Lipschitz constants for deep neural
        networks, arXiv:1906.04893 (LipSDP).
    Xu & Sivaranjani (2024), ECLipsE: efficient compositional Lipschitz constant estimation for deep neural networks,
        arXiv:2404.04375 (the recursion; the search starts from its closed form).
    Pauli, Koch, Berberich, Kohler & Allgöwer (2022), Training robust neural networks using Lipschitz bounds, IEEE Control Systems
        Letters 6 (the error of multipliers that couple units).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.lipschitz.matrix import Matrix
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma, product_above
from wdist.lipschitz.linalg.semidefinite import is_positive_semidefinite

LARGEST_PROOF = 4000
"""Most units, inputs included, for which the inequality is proved."""
_ITERATIONS = 100
"""Steps of L-BFGS, unless :data:`MOST_WORK` ends the search earlier."""
MOST_WORK = 2e11
"""Approximate floating-point operations of a search."""
_LEAST_RANGE = 1e-3
"""Smallest half range of slopes in the search; otherwise units whose slopes hardly vary would have unbounded multipliers."""
_SLACKS = (1e-9, 1e-7, 1e-5, 1e-3, 1e-1)
"""Relative increases of the multipliers to try until the proof succeeds."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SlopeRange:
    """The slopes of an elementwise activation, unit by unit."""

    low: Tensor
    high: Tensor
    """float64, shape (units,)."""

    @property
    def middle(self) -> Tensor:
        return (self.low + self.high) / 2

    @property
    def steepest(self) -> float:
        """The largest magnitude of a slope."""
        return max(0.0, float(torch.maximum(self.low.abs(), self.high.abs()).max())) if len(self.low) else 0.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Layers:
    """Matrices with activations between them: W_l phi_l W_{l-1} ... phi_1 W_0."""

    matrices: tuple[Matrix, ...]
    slopes: tuple[SlopeRange, ...]
    """One for each gap between matrices."""

    def __post_init__(self) -> None:
        assert len(self.slopes) == len(self.matrices) - 1

    @property
    def units(self) -> int:
        """Size of the matrix inequality."""
        return sum(matrix.value.shape[1] for matrix in self.matrices)

    def part(self, first: int, last: int) -> "Layers":
        """The matrices from ``first`` to ``last`` inclusive."""
        return Layers(matrices=self.matrices[first : last + 1], slopes=self.slopes[first:last])


@dataclass(frozen=True, kw_only=True, eq=False)
class Multipliers:
    """Evidence for a semidefinite bound."""

    rho: float
    t: Tensor
    """float64, shape (units of all activations,), non-negative."""
    scales: tuple[float, ...]
    """Powers of two that divide the matrices before the inequality is formed; each multiplies the bound."""


def semidefinite_bound(layers: Layers, *, work: float = MOST_WORK) -> tuple[float, Multipliers] | None:
    """A proved bound for the Euclidean Lipschitz constant, with its multipliers; None if none was found or proved.

    Arguments:
        layers: at least two matrices, with at most :data:`LARGEST_PROOF` units.
        work: approximate floating-point operations of the search.
    """
    if not layers.slopes or layers.units > LARGEST_PROOF or (found := _search(layers, work)) is None:
        return None
    for slack in _SLACKS:
        # Increase all of them, so that every term of the matrix grows except the last product.
        tried = replace(found, rho=found.rho * (1 + slack), t=found.t * (1 + slack))
        if proved(layers, tried):
            return _bound(tried), tried
    return None


def proved(layers: Layers, multipliers: Multipliers) -> bool:
    """Whether the multipliers, whatever their origin, prove their bound for the layers, rounding included."""
    t, scales = multipliers.t, multipliers.scales
    if len(scales) != len(layers.matrices) or any(not 0 < scale < math.inf or math.frexp(scale)[0] != 0.5 for scale in scales):
        return False
    if not 0 <= multipliers.rho < math.inf or not bool((t >= 0).all()) or t.shape != (sum(map(_width, layers.slopes)),):
        return False
    return is_positive_semidefinite(*_inequality(_scaled(layers, scales), multipliers))


def proved_bound(layers: Layers, multipliers: Multipliers) -> float | None:
    """The bound that multipliers prove; None if they prove none."""
    return _bound(multipliers) if proved(layers, multipliers) else None


def _bound(multipliers: Multipliers) -> float:
    return product_above(math.sqrt(multipliers.rho) * (1 + 4 * UNIT_ROUNDOFF), *multipliers.scales)


def _scaled(layers: Layers, scales: Sequence[float]) -> Layers:
    """Divides the matrices by powers of two, which does not round; underflow is added to the errors."""
    matrices = []
    for matrix, scale in zip(layers.matrices, scales, strict=True):
        value, error = matrix.value / scale, matrix.error
        lost = bool((value * scale != matrix.value).any())
        if error is not None or lost:
            error = (0.0 if error is None else error / scale) + torch.full_like(value, 2.0**-1021)
        matrices.append(Matrix(value=value, error=error))
    return Layers(matrices=tuple(matrices), slopes=layers.slopes)


def _width(slopes: SlopeRange) -> int:
    return len(slopes.low)


def _offsets(layers: Layers) -> list[int]:
    """First index of the block of each input or activation."""
    offsets = [0]
    for matrix in layers.matrices:
        offsets.append(offsets[-1] + matrix.value.shape[1])
    return offsets


def _inequality(layers: Layers, multipliers: Multipliers) -> tuple[Tensor, Tensor]:
    """The matrix of the quadratic form, and a bound for its error, entry by entry."""
    offsets = _offsets(layers)
    M = torch.zeros(layers.units, layers.units, dtype=torch.float64)
    E = torch.zeros_like(M)
    M.diagonal()[: offsets[1]] = multipliers.rho
    parts = multipliers.t.split([_width(slopes) for slopes in layers.slopes])
    for i, (matrix, slopes, t) in enumerate(zip(layers.matrices, layers.slopes, parts, strict=False)):
        before, own = slice(offsets[i], offsets[i + 1]), slice(offsets[i + 1], offsets[i + 2])
        W, magnitude, error = matrix.value, matrix.value.abs(), _error(matrix)
        M.diagonal()[own] += t
        middle = t * slopes.middle
        M[own, before] = -middle[:, None] * W
        E[own, before] = middle.abs()[:, None] * (error + gamma(8) * (magnitude + error))
        M[before, own], E[before, own] = M[own, before].T, E[own, before].T
        curved = t * slopes.low * slopes.high
        if bool(curved.any()):
            M[before, before] += W.T @ (curved[:, None] * W)
            E[before, before] += _product_error(magnitude, error, curved.abs())
    last, matrix = slice(offsets[-2], offsets[-1]), layers.matrices[-1]
    M[last, last] -= matrix.value.T @ matrix.value
    E[last, last] += _product_error(matrix.value.abs(), _error(matrix), torch.ones(len(matrix.value), dtype=torch.float64))
    # Each sum of terms in a block rounds once; underflow is far smaller.
    diagonal = torch.cat([M.new_full((offsets[1],), multipliers.rho), multipliers.t])
    E += gamma(8) * M.abs() + gamma(8) * torch.diag(diagonal) + 2.0**-1000
    return (M + M.T) / 2, (E + E.T) * 0.5 * (1 + 1e-9)


def _error(matrix: Matrix) -> Tensor:
    return torch.zeros_like(matrix.value) if matrix.error is None else matrix.error


def _product_error(magnitude: Tensor, error: Tensor, weights: Tensor) -> Tensor:
    """A bound for the error of W^T diag(weights) W, entry by entry."""
    weighted = weights[:, None] * magnitude
    product = magnitude.T @ weighted
    total = gamma(len(magnitude) + 8) * product
    if bool(error.any()):
        mixed = error.T @ (weighted + weights[:, None] * error)
        total = total + mixed + mixed.T
    return (total + gamma(8) * product) * (1 + 1e-9)


def _search(layers: Layers, work: float) -> Multipliers | None:
    """Multipliers that nearly minimise rho, without proof."""
    if not all(bool(torch.isfinite(matrix.value).all()) for matrix in layers.matrices):
        return None
    scales = [_power_of_two(float(torch.linalg.matrix_norm(matrix.value))) for matrix in layers.matrices]
    recursion = _Recursion(_compressed(_scaled(layers, scales)))
    found = recursion.optimised(work)
    if found is None:
        return None
    rho, t = found
    # Choose units for each activation and the input in which all numbers are near 1.
    means = [float(part.mean()) for part in t]
    units = [_power_of_two(1 / math.sqrt(each)) for each in (rho, *means)] + [1.0]
    scales = [scale * after / before for scale, before, after in zip(scales, units, units[1:], strict=False)]
    parts = [part * unit**2 for part, unit in zip(t, units[1:], strict=False)]
    return Multipliers(rho=rho * units[0] ** 2, t=torch.cat(parts), scales=tuple(scales))


def _power_of_two(number: float) -> float:
    """A power of two near a positive finite number; 1 for any other."""
    return 2.0 ** math.frexp(number)[1] if 0 < number < math.inf else 1.0


class _Recursion:
    r"""rho as a smooth function of unconstrained variables.

    With m the middle and r half the range of the slopes, eliminating one block after another leaves

    .. math:: M_i = T_i - T_i m W K^{-1} W^\top m T_i, \qquad K = M_{i-1} + W^\top T_i (m^2 - r^2) W, \qquad M_0 = I,

    which stays positive definite if and only if :math:`1 / (T_i r^2) \succ W M_{i-1}^{-1} W^\top`. So with
    :math:`1 / (T_i r^2) = D (1 + e^{p_i})\, \lambda_{\max}(D^{-1/2} W M_{i-1}^{-1} W^\top D^{-1/2})` and
    :math:`D = \mathrm{diag}(e^{q_i})`, every p and q is feasible, and every feasible T has such p and q; p = q = 0 is ECLipsE-Fast.
    Finally, :math:`\rho = \lambda_{\max}(W_l M_l^{-1} W_l^\top)`.
    """

    def __init__(self, layers: Layers) -> None:
        self.weights = [matrix.value for matrix in layers.matrices]
        self.middles = [slopes.middle for slopes in layers.slopes]
        self.ranges = [((slopes.high - slopes.low) / 2).clamp(min=_LEAST_RANGE) for slopes in layers.slopes]
        self.curved = [slopes.low * slopes.high for slopes in layers.slopes]
        self.sizes = [len(weight) for weight in self.weights[:-1]]

    def optimised(self, work: float) -> tuple[float, list[Tensor]] | None:
        """rho and the multipliers of each activation; None if rounding makes a matrix indefinite."""
        from scipy.optimize import minimize  # imported late: the import takes a quarter of a second

        one = 40.0 * sum(max(weight.shape) ** 3 for weight in self.weights)
        steps = min(_ITERATIONS, int(work / one))
        z = np.zeros(sum(self.sizes) + len(self.sizes))
        if steps > 0:
            # p >= -14 keeps each matrix a millionth away from singular, so that the proof succeeds.
            limits = [(-40.0, 40.0)] * sum(self.sizes) + [(-14.0, 40.0)] * len(self.sizes)
            options = {"maxiter": steps, "maxfun": 2 * steps, "maxcor": 20}
            z = minimize(self._value, z, jac=True, method="L-BFGS-B", bounds=limits, options=options).x
        with torch.no_grad():
            found = self._multipliers(torch.from_numpy(z))
        if found is None or not 0 < float(found[0]) < math.inf:
            return None
        rho = float(found[0])
        return rho, [part * rho for part in found[1]]

    def _value(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """log rho and its gradient."""
        variables = torch.tensor(z, requires_grad=True)
        found = self._multipliers(variables)
        if found is None or not 0 < float(found[0].detach()) < math.inf:
            return 1e10, np.zeros_like(z)
        value = found[0].log()
        (gradient,) = torch.autograd.grad(value, variables)
        return float(value.detach()), gradient.nan_to_num(0.0, 0.0, 0.0).numpy()

    def _multipliers(self, z: Tensor) -> tuple[Tensor, list[Tensor]] | None:
        """rho and the multipliers, in units in which M_0 = I; None if rounding makes a matrix indefinite."""
        count = sum(self.sizes)
        multipliers = []
        M = torch.eye(self.weights[0].shape[1], dtype=torch.float64)
        numbers = zip(self.weights, self.middles, self.ranges, self.curved, z[:count].split(self.sizes), z[count:], strict=False)
        for W, m, r, curved, q, p in numbers:
            R = _factor(M)
            if R is None:
                return None
            half = torch.linalg.solve_triangular(R, W.T, upper=False).T * torch.exp(-q / 2)[:, None]
            t = 1 / (_largest_eigenvalue(half) * torch.exp(q) * (1 + torch.exp(p)) * r.square())
            if bool(curved.any()):
                R = _factor(M + W.T @ ((t * curved)[:, None] * W))
                if R is None:
                    return None
            moved = torch.linalg.solve_triangular(R, (t * m * W.T), upper=False)
            M = torch.diag(t) - moved.T @ moved
            multipliers.append(t)
        R = _factor(M)
        if R is None:
            return None
        return _largest_eigenvalue(torch.linalg.solve_triangular(R, self.weights[-1].T, upper=False).T), multipliers


def _largest_eigenvalue(half: Tensor) -> Tensor:
    """Largest eigenvalue of A A^T, differentiable; tiny but positive for A = 0."""
    gram = half @ half.T if half.shape[0] <= half.shape[1] else half.T @ half
    return torch.linalg.eigvalsh(gram)[-1].clamp(min=1e-200)


def _factor(M: Tensor) -> Tensor | None:
    R, info = torch.linalg.cholesky_ex(M)
    return R if int(info) == 0 and bool(torch.isfinite(R.detach()).all()) else None


def _compressed(layers: Layers) -> Layers:
    """Equivalent layers for the search, with inputs and outputs beyond the number of units removed by rotations."""
    first, last = layers.matrices[0].value, layers.matrices[-1].value
    if first.shape[1] > first.shape[0]:
        first = torch.linalg.qr(first.T, mode="r").R.T
    if last.shape[0] > last.shape[1]:
        last = torch.linalg.qr(last, mode="r").R
    return Layers(matrices=(Matrix(value=first), *layers.matrices[1:-1], Matrix(value=last)), slopes=layers.slopes)
