r"""Norms of convolutions on images of any size, from their transfer functions.

A convolution on the infinite lattice with kernel w has the norm :math:`\sup_\omega \|\hat w(\omega)\|_2`, where
:math:`\hat w(\omega) = \sum_k w_k e^{i \omega \cdot k}` is a matrix of outputs by inputs. Zeros around an image embed it into the
lattice and a crop never increases a norm, so the same bound holds for zero padding of any width, and for circular padding, whose
norm is the maximum over fewer frequencies.
"""

import math
from collections.abc import Sequence
from itertools import product

import torch
from torch import Tensor

from wdist.errors import CertificateError
from wdist.lipschitz.linalg.norms import spectral_norm_bound
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, gamma

_GRIDS = (64, 32, 16, 8)
_MOST_WORK = 2e10
"""Most multiplications for a grid."""
_SQUARINGS = 12
_NEGLIGIBLE = 1 + 1e-6
"""Ratio of a bound to the norm below which no grid is tried."""
_AT_ONCE = 2**22
"""Number of entries of transfer matrices held at a time."""


def convolution_norm_bound(kernel: Tensor, *, stride: Sequence[int], groups: int = 1) -> float:
    r"""An upper bound for the spectral norm of a convolution on images of any size, with zero or circular padding.

    A convolution with stride s is one without stride on the s phases of each axis, taken as channels. The squared norm
    :math:`u^* \hat w^* \hat w u` is a non-negative trigonometric polynomial of degree d = k - 1 along each axis. Within
    :math:`\delta` of its maximum M, it is at least :math:`M \cos^2(d \delta / 2)` (Bernstein and Szegő), so for a grid with n
    frequencies per axis

    .. math:: \sup_\omega \|\hat w(\omega)\| \le \frac{\max_{\text{grid}} \|\hat w(\omega)\|}{\prod_i \cos(\pi d_i / 2 n)} .

    On the grid, Gram iteration bounds each norm, :math:`\|A\|^{2^{t+1}} \le \|(A A^*)^{2^t}\|_F`.

    No grid is needed if the convolution is nearly orthogonal up to a factor: the coefficients of
    :math:`\hat w \hat w^*` are the correlations :math:`A_l = \sum_k w_{k+l} w_k^\top`, so for every c

    .. math:: \sup_\omega \|\hat w(\omega)\|^2 \le c + \|A_0 - c I\|_F + \sum_{l \ne 0} \|A_l\|_F .

    The smaller bound is returned; for orthogonal convolutions, the second exceeds the norm only by rounding.

    Arguments:
        kernel: shape (outputs, inputs / groups, \*sizes), with dilation written out as zeros.
        stride: along each axis.
        groups: of inputs and outputs that do not mix.

    Raises:
        CertificateError: the kernel holds values that are not finite.

    References:
        Sedghi, Gupta & Long (2019), The singular values of convolutional layers, arXiv:1805.10408.
        Delattre, Barthélemy, Araujo & Allauzen (2023), Efficient bound of Lipschitz constant for convolutional layers by Gram
            iteration, arXiv:2305.16173.
        Pfister & Liang (2018), Bounding multivariate trigonometric polynomials with applications to filter bank design,
            arXiv:1802.09588 (bounds from grids).
    """
    kernel = kernel.detach().double().cpu()
    if not bool(torch.isfinite(kernel).all()):
        raise CertificateError("a kernel holds nan or infinity, so its norm has no bound; check how the network was trained")
    largest = float(kernel.abs().max()) if kernel.numel() else 0.0
    if largest == 0:
        return 0.0
    scale = 2.0 ** (math.frexp(largest)[1] - 1)
    parts = (kernel / scale).chunk(groups, 0)
    # Entries that underflow when scaled change the norm by less than this.
    underflow = 2.0**-1022 * kernel.numel()
    bound = max(_norm_of_phases(_phases(part, stride)) for part in parts)
    return math.nextafter((bound + underflow) * (1 + 4 * UNIT_ROUNDOFF) * scale, math.inf)


def _phases(kernel: Tensor, stride: Sequence[int]) -> Tensor:
    """The kernel of stride 1 that acts on the phases of each axis, shape (outputs, inputs * phases, \\*smaller sizes)."""
    for axis, step in enumerate(stride, start=2):
        if step > 1:
            missing = -kernel.shape[axis] % step
            kernel = torch.nn.functional.pad(kernel, (0, 0) * (kernel.ndim - 1 - axis) + (0, missing))
            split = kernel.unflatten(axis, (-1, step)).movedim(axis + 1, 2)
            kernel = split.flatten(1, 2)
    return kernel


def _norm_of_phases(kernel: Tensor) -> float:
    rows, columns, *sizes = kernel.shape
    if rows > columns:  # the adjoint has the same norm
        kernel = kernel.transpose(0, 1)
        rows, columns = columns, rows
    degrees = [size - 1 for size in sizes]
    taps = kernel.reshape(rows, columns, -1)
    if not any(degrees):
        return spectral_norm_bound(taps[:, :, 0])
    orthogonal = _norm_by_correlations(kernel)
    if orthogonal <= _NEGLIGIBLE * float(torch.linalg.vector_norm(kernel)) / math.sqrt(rows):  # the mean square over frequencies
        return orthogonal
    side = _grid(rows, columns, degrees)
    squared, error = 0.0, (gamma(taps.shape[2] + 2) + 40 * UNIT_ROUNDOFF) * float(torch.linalg.matrix_norm(taps.abs().sum(2)))
    phases = _angles(sizes, [1 if degree == 0 else side for degree in degrees])
    for part in phases.split(max(1, _AT_ONCE // (rows * columns))):
        matrices = torch.einsum("rck,fk->frc", taps.to(torch.complex128), torch.polar(torch.ones_like(part), part))
        squared = max(squared, _largest_gram(matrices, squared))
    shrinkage = math.prod(math.cos(math.pi * degree / (2 * side)) for degree in degrees)
    by_grid = (math.sqrt(squared) + error * (1 + 1e-9)) / shrinkage * (1 + 16 * len(sizes) * UNIT_ROUNDOFF)
    return min(by_grid, orthogonal)


def _norm_by_correlations(kernel: Tensor) -> float:
    """The bound from correlations for a kernel of shape (m, n, \\*sizes), m <= n; infinite if it would take long."""
    rows, _, *sizes = kernel.shape
    lags = list(product(*(range(1 - size, size) for size in sizes)))
    lags = lags[len(lags) // 2 :]  # from lag 0 on; the others give the transposes
    if len(lags) * rows * rows * kernel[0].numel() > _MOST_WORK:
        return math.inf
    total = 0.0
    for lag in lags:
        ahead = tuple(slice(max(step, 0), size + min(step, 0)) for step, size in zip(lag, sizes, strict=True))
        behind = tuple(slice(max(-step, 0), size + min(-step, 0)) for step, size in zip(lag, sizes, strict=True))
        A = kernel[:, :, *ahead].reshape(rows, -1) @ kernel[:, :, *behind].reshape(rows, -1).T
        if any(lag):
            total += 2 * float(torch.linalg.matrix_norm(A))
        else:
            c = float(A.diagonal().mean())
            A.diagonal().sub_(c)
            total += c + float(torch.linalg.matrix_norm(A))
    # Every correlation is off by at most gamma times the products of absolute values, whose norm is at most the squared norm of w;
    # the norms and their sum round by less than that.
    squared_norm = float(torch.linalg.vector_norm(kernel)) ** 2
    rounding = 2 * len(lags) * gamma(kernel[0].numel() + rows * rows + 2 * len(lags) + 8) * squared_norm
    return math.sqrt((total + rounding) * (1 + 1e-14)) * (1 + 4 * UNIT_ROUNDOFF)


def _grid(rows: int, columns: int, degrees: Sequence[int]) -> int:
    """Frequencies along each axis with more than one tap: as many as the work allows, and always more than the degree."""
    axes = sum(degree > 0 for degree in degrees)
    fit = (side for side in _GRIDS if side**axes * rows * rows * columns <= _MOST_WORK)
    return max(next(fit, _GRIDS[-1]), 2 * max(degrees))


def _angles(sizes: Sequence[int], sides: Sequence[int]) -> Tensor:
    r"""The angle \omega . k for each frequency of half the grid and each tap, reduced to [0, 2 pi); shape (frequencies, taps)."""
    indices = [torch.arange(side) for side in sides]
    indices[-1] = indices[-1][: sides[-1] // 2 + 1]  # the kernel is real, so opposite frequencies have conjugate matrices
    frequencies = torch.cartesian_prod(*indices).reshape(-1, len(sides))
    taps = torch.cartesian_prod(*(torch.arange(size) for size in sizes)).reshape(-1, len(sizes))
    common = math.lcm(*sides)
    turns = (frequencies * (common // torch.tensor(sides))) @ taps.T % common
    return turns.double() * (2 * math.pi / common)


def _largest_gram(A: Tensor, floor: float) -> float:
    """An upper bound, at least ``floor``, for the squared norms of the matrices A, complex, shape (k, m, n), m <= n."""
    rows, columns = A.shape[1:]
    G = A @ A.mH
    size = torch.linalg.matrix_norm(A).square()
    scale = size.clamp(min=1e-280)
    G, error = G / scale[:, None, None], torch.full_like(size, 8 * gamma(2 * columns + 8))
    logarithm = scale.log()  # of the scale of G, per factor A A*
    best = math.log(max(floor, 1e-280))
    for step in range(_SQUARINGS + 1):
        norm = torch.linalg.matrix_norm(G)
        above = logarithm + (norm * (1 + gamma(2 * rows * rows)) + error).log() / 2**step
        below = logarithm + (norm / math.sqrt(rows) - 2 * error).clamp(min=1e-300).log() / 2**step
        best = max(best, float(below.max()))
        keep = above > best
        if step == _SQUARINGS or not bool(keep.any()):
            break
        G, error, logarithm, norm = G[keep], error[keep], logarithm[keep], norm[keep]
        unit = norm.clamp(min=1e-280)
        G = G / unit[:, None, None]
        # Squaring doubles a relative error, and each product of rows adds its own.
        error = (error / unit + 2 * UNIT_ROUNDOFF) * 2.0
        error = error + error.square() + 8 * gamma(2 * rows + 8)
        G = G @ G
        logarithm = logarithm + unit.log() / 2**step
    return math.exp(max(best, float(above.max()) if above.numel() else best)) * (1 + 1e-12)
