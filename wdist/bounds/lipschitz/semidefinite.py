r"""Semidefinite bounds for networks of matrices and activations with bounded slopes (LipSDP).

Let :math:`x_i = \phi_i(W_{i-1} x_{i-1} + b_{i-1})` elementwise, with slopes in :math:`[\alpha, \beta]`, and
:math:`y = W_l x_l`. For two inputs and the differences :math:`\Delta` that they cause, every unit satisfies
:math:`(\Delta x - \alpha \Delta v)(\Delta x - \beta \Delta v) \le 0` with :math:`v = W x`. So if multipliers
:math:`t \ge 0` and :math:`\rho` make the matrix of the quadratic form

.. math:: \rho \|\Delta x_0\|^2 - \|W_l \Delta x_l\|^2
    + \sum_j t_j (\Delta x_j - \alpha_j \Delta v_j)(\Delta x_j - \beta_j \Delta v_j)

positive semidefinite, then :math:`\|\Delta y\| \le \sqrt\rho\, \|\Delta x_0\|`. One multiplier for each unit: the multipliers that
couple units are wrong (Pauli et al.). However the multipliers were found, :func:`proved` shows the inequality in float64.

References:
    Fazlyab, Robey, Hassani, Morari & Pappas (2019), Efficient and accurate estimation of Lipschitz constants for deep neural
        networks, arXiv:1906.04893 (LipSDP).
    Xu & Sivaranjani (2024), ECLipsE: efficient compositional Lipschitz constant estimation for deep neural networks,
        arXiv:2404.04375 (the recursion of the start).
    Pauli, Koch, Berberich, Kohler & Allgöwer (2022), Training robust neural networks using Lipschitz bounds, IEEE Control Systems
        Letters 6 (multipliers that couple units).
    Boyd & Vandenberghe (2004), Convex optimization, chapter 11 (the barrier method).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wdist.bounds.lipschitz.matrix import Matrix
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma, product_above
from wdist.lipschitz.linalg.semidefinite import is_positive_semidefinite

LARGEST_BARRIER = 1200
"""Units, inputs included, up to which the multipliers are optimised; a Newton step costs the cube of it."""
LARGEST_PROOF = 4000
"""Units up to which the inequality is proved at all."""
_GAP = 1e-5
"""Relative distance from the optimum at which the barrier method stops."""
_NEWTON_STEPS = 80
_SLACKS = (1e-8, 1e-6, 1e-4, 1e-2)
"""Shares by which rho grows until the proof succeeds."""


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
    """What proves a semidefinite bound."""

    rho: float
    t: Tensor
    """float64, shape (units of all activations,), non-negative."""


def semidefinite_bound(layers: Layers) -> tuple[float, Multipliers] | None:
    """A proved bound for the Euclidean Lipschitz constant, and its multipliers; None if none was found or proved.

    Arguments:
        layers: at least two matrices, of moderate size (:data:`LARGEST_PROOF`).
    """
    if not layers.slopes or layers.units > LARGEST_PROOF:
        return None
    scales, unit = _normalised(layers)
    best: tuple[float, Multipliers] | None = None
    for found in _candidates(unit):
        for slack in (0.0, *_SLACKS):
            tried = Multipliers(rho=found.rho * (1 + slack), t=found.t)
            if best is not None and tried.rho >= best[1].rho:
                break
            if proved(unit, tried):
                best = (_root_above(tried.rho, scales), tried)
                break
    return best


def proved(layers: Layers, multipliers: Multipliers) -> bool:
    """True only if sqrt(rho) is proved to be a Lipschitz bound of the layers."""
    if multipliers.rho < 0 or not bool((multipliers.t >= 0).all()) or len(multipliers.t) != sum(map(_width, layers.slopes)):
        return False
    return is_positive_semidefinite(*_inequality(layers, multipliers))


def bound_of(layers: Layers, multipliers: Multipliers) -> float | None:
    """The bound that multipliers found for these layers by :func:`semidefinite_bound` prove; None if they prove none."""
    scales, unit = _normalised(layers)
    return _root_above(multipliers.rho, scales) if proved(unit, multipliers) else None


def _root_above(rho: float, scales: Sequence[float]) -> float:
    return product_above(math.sqrt(rho) * (1 + 4 * UNIT_ROUNDOFF), *scales)


def _normalised(layers: Layers) -> tuple[list[float], Layers]:
    """The layers with weights scaled by powers of two, which do not round, and those; slopes have no scale."""
    scales, matrices = [], []
    for matrix in layers.matrices:
        norm = float(torch.linalg.matrix_norm(matrix.value))
        factor = 2.0 ** math.frexp(norm)[1] if math.isfinite(norm) and norm > 0 else 1.0
        value, error = matrix.value / factor, matrix.error
        lost = bool((value * factor != matrix.value).any())  # entries that underflow
        if error is not None or lost:
            error = (0.0 if error is None else error / factor) + torch.full_like(value, 2.0**-1022)
        matrices.append(Matrix(value=value, error=error))
        scales.append(factor)
    return scales, Layers(matrices=tuple(matrices), slopes=layers.slopes)


def _width(slopes: SlopeRange) -> int:
    return len(slopes.low)


def _offsets(layers: Layers) -> list[int]:
    """Where the block of each input or activation begins."""
    offsets = [0]
    for matrix in layers.matrices:
        offsets.append(offsets[-1] + matrix.value.shape[1])
    return offsets


def _inequality(layers: Layers, multipliers: Multipliers) -> tuple[Tensor, Tensor]:
    """The matrix of the quadratic form, and a bound for what it lacks from the exact one, entry by entry."""
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
    # Sums of the terms of a block round once each; what underflows is far below.
    E += gamma(8) * M.abs() + gamma(8) * torch.diag(M.new_tensor(_diagonal_terms(layers, multipliers))) + 2.0**-1000
    return (M + M.T) / 2, (E + E.T) * 0.5 * (1 + 1e-9)


def _diagonal_terms(layers: Layers, multipliers: Multipliers) -> list[float]:
    return [multipliers.rho] * layers.matrices[0].value.shape[1] + multipliers.t.tolist()


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


def _candidates(layers: Layers) -> Iterator[Multipliers]:
    """Multipliers to try, the tightest first."""
    start = _recursion(layers)
    if start is not None and layers.units <= LARGEST_BARRIER:
        yield from reversed(list(_central_path(layers, start)))
    if start is not None:
        yield start


def _recursion(layers: Layers) -> Multipliers | None:
    r"""The closed form of ECLipsE-Fast: one multiplier a layer, :math:`t = 2 / \|W M^{-1} W^\top\|` for ReLU.

    Other slopes take shorter steps; None if no step leaves the matrices positive.
    """
    M: Tensor = torch.eye(layers.matrices[0].value.shape[1], dtype=torch.float64)
    found = []
    for matrix, slopes in zip(layers.matrices, layers.slopes, strict=False):
        W, middle = matrix.value, slopes.middle
        curved = slopes.low * slopes.high
        R = _factor(M)
        if R is None:
            return None
        half = torch.linalg.solve_triangular(R, W.T, upper=False)
        steep = float(torch.linalg.matrix_norm(middle[:, None] * half.T, 2)) ** 2
        t = 2 / steep / 4 if steep > 0 else 1.0
        # The term of the curvature takes from or adds to M; a few shorter steps leave it positive.
        for _ in range(60):
            with_curvature = M + t * W.T @ (curved[:, None] * W)
            R = _factor(with_curvature)
            if R is not None:
                half = torch.linalg.solve_triangular(R, (middle[:, None] * W).T, upper=False)
                following = t * torch.eye(len(W), dtype=torch.float64) - t * t * half.T @ half
                if _factor(following) is not None:
                    break
            t /= 2
        else:
            return None
        M = following
        found.append(torch.full((len(W),), t, dtype=torch.float64))
    R = _factor(M)
    if R is None:
        return None
    last = torch.linalg.solve_triangular(R, layers.matrices[-1].value.T, upper=False)
    # The recursion sets rho to 1 and finds the largest multiple of W_l^T W_l; the inequality is homogeneous.
    rho = float(torch.linalg.matrix_norm(last, 2)) ** 2 * (1 + 1e-6)
    return Multipliers(rho=rho, t=torch.cat(found) * rho) if 0 < rho < math.inf else None


def _factor(M: Tensor) -> Tensor | None:
    R, info = torch.linalg.cholesky_ex(M)
    return R if int(info) == 0 and bool(torch.isfinite(R).all()) else None


class _Barrier:
    r"""The barrier :math:`\tau \rho - \log\det M(\rho, t) - \sum \log t` with its derivatives."""

    def __init__(self, layers: Layers) -> None:
        self.layers, self.offsets = layers, _offsets(layers)
        self.low = torch.cat([slopes.low for slopes in layers.slopes])
        self.high = torch.cat([slopes.high for slopes in layers.slopes])
        self.inputs = self.offsets[1]

    def factor(self, y: Tensor) -> Tensor | None:
        """The Cholesky factor of the inequality; None outside its domain."""
        if not bool((y > 0).all()):
            return None
        return _factor(_matrix_only(self.layers, float(y[0]), y[1:]))

    def value(self, y: Tensor, R: Tensor, tau: float) -> float:
        return float(tau * y[0] - 2 * R.diagonal().log().sum() - y[1:].log().sum())

    def derivatives(self, y: Tensor, R: Tensor, tau: float) -> tuple[Tensor, Tensor]:
        """Gradient and Hessian at y = (rho, t)."""
        S = torch.cholesky_inverse(R)
        S = (S + S.T) / 2
        own, VS = S[self.inputs :], self._before(S)
        aS, bS = own - self.low[:, None] * VS, own - self.high[:, None] * VS
        aSa, aSb, bSb = self._after(aS, self.low), self._after(aS, self.high), self._after(bS, self.high)
        t = y[1:]
        gradient = torch.cat([(tau - S.diagonal()[: self.inputs].sum()).reshape(1), -aSb.diagonal() - 1 / t])
        H = torch.empty(len(y), len(y), dtype=torch.float64)
        H[0, 0] = S[: self.inputs, : self.inputs].square().sum()
        H[0, 1:] = H[1:, 0] = (aS[:, : self.inputs] * bS[:, : self.inputs]).sum(1)
        H[1:, 1:] = (aSa * bSb + aSb * aSb.T) / 2
        H.diagonal()[1:] += 1 / t.square()
        return gradient, H

    def _before(self, S: Tensor) -> Tensor:
        """The rows of W S, for the block before each activation."""
        pairs = zip(self.layers.matrices, self.offsets[:-2], self.offsets[1:-1], strict=False)
        return torch.cat([matrix.value @ S[start:stop] for matrix, start, stop in pairs])

    def _after(self, rows: Tensor, slope: Tensor) -> Tensor:
        """Products of rows with every a_j = e_j - slope_j w_j."""
        return rows[:, self.inputs :] - slope * self._before(rows.T).T


def _matrix_only(layers: Layers, rho: float, t: Tensor) -> Tensor:
    offsets = _offsets(layers)
    M = torch.zeros(layers.units, layers.units, dtype=torch.float64)
    M.diagonal()[: offsets[1]] = rho
    M.diagonal()[offsets[1] :] = t
    parts = t.split([_width(slopes) for slopes in layers.slopes])
    for i, (matrix, slopes, part) in enumerate(zip(layers.matrices, layers.slopes, parts, strict=False)):
        before, own = slice(offsets[i], offsets[i + 1]), slice(offsets[i + 1], offsets[i + 2])
        block = -(part * slopes.middle)[:, None] * matrix.value
        M[own, before], M[before, own] = block, block.T
        curved = part * slopes.low * slopes.high
        if bool(curved.any()):
            M[before, before] += matrix.value.T @ (curved[:, None] * matrix.value)
    last = slice(offsets[-2], offsets[-1])
    M[last, last] -= layers.matrices[-1].value.T @ layers.matrices[-1].value
    return M


def _central_path(layers: Layers, start: Multipliers) -> Iterator[Multipliers]:
    """Points on the central path from a feasible start, each nearer to the optimum."""
    barrier = _Barrier(_compressed(layers))
    y = torch.cat([torch.tensor([start.rho * 1.5], dtype=torch.float64), start.t.clamp(min=1e-300) * 1.2])
    R = barrier.factor(y)
    if R is None:
        y = torch.cat([torch.tensor([start.rho * 1.01], dtype=torch.float64), start.t])
        R = barrier.factor(y)
    if R is None:
        return
    terms, steps = layers.units + len(start.t), 0
    tau = terms / float(y[0])
    while steps < _NEWTON_STEPS:
        while steps < _NEWTON_STEPS:
            steps += 1
            gradient, H = barrier.derivatives(y, R, tau)
            moved = _newton_step(barrier, y, R, tau, gradient, H)
            if moved is None:
                return
            decrement, y, R = moved
            if decrement < 0.5:
                break
        yield Multipliers(rho=float(y[0]), t=y[1:].clone())
        if terms / tau < _GAP * float(y[0]):
            return
        tau *= 12


def _newton_step(
    barrier: _Barrier, y: Tensor, R: Tensor, tau: float, gradient: Tensor, H: Tensor
) -> tuple[float, Tensor, Tensor] | None:
    """The squared decrement and the next point with its factor; None where rounding leaves no descent."""
    scale = H.diagonal().rsqrt()
    C, info = torch.linalg.cholesky_ex(H * scale * scale[:, None])
    if int(info) != 0:
        return None
    direction = -scale * torch.cholesky_solve((scale * gradient)[:, None], C).squeeze(1)
    decrement = -float(gradient @ direction)
    if not math.isfinite(decrement) or decrement < 0:
        return None
    length, value = 1.0, barrier.value(y, R, tau)
    for _ in range(40):
        moved = y + length * direction
        factor = barrier.factor(moved)
        if factor is not None and barrier.value(moved, factor, tau) <= value - 0.1 * length * decrement + 1e-9 * abs(value):
            return decrement, moved, factor
        length /= 2
    return None


def _compressed(layers: Layers) -> Layers:
    """Equivalent layers for the search of multipliers: inputs and outputs rotated away where there are more of them than units."""
    first, last = layers.matrices[0].value, layers.matrices[-1].value
    if first.shape[1] > first.shape[0]:
        first = torch.linalg.qr(first.T, mode="r").R.T
    if last.shape[0] > last.shape[1]:
        last = torch.linalg.qr(last, mode="r").R
    matrices: Sequence[Matrix] = (Matrix(value=first), *layers.matrices[1:-1], Matrix(value=last))
    return Layers(matrices=tuple(matrices), slopes=layers.slopes)
