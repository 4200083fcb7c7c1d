"""Operator norms: the spectral and the maximum norm proved from above for every matrix, and estimated from below."""

import math
from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import scipy.linalg
import torch

from wdist.errors import CertificateError
from wdist.lipschitz.linalg.norms import spectral_norm_bound, spectral_norm_estimate, to_maximum_norm_bound
from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial

SCALES = [1.0, 1e150, 1e-150, 1e-310, 3.0, 2.0**-1030]


def exact_norm(W):
    """The largest singular value of the float64 entries to 60 digits."""
    with mpmath.workdps(60):
        A = mpmath.matrix([[mpmath.mpf(float(value)) for value in row] for row in W])
        smaller = A * A.T if A.rows <= A.cols else A.T * A
        return mpmath.sqrt(max(mpmath.eigsy(smaller, eigvals_only=True)))


def assert_is_bound(found, exact, excess):
    """exact <= found <= exact (1 + excess), compared without rounding."""
    with mpmath.workdps(60):
        assert exact <= mpmath.mpf(found)
        # 1e-323: the grid of subnormal numbers in float64 is no finer.
        assert mpmath.mpf(found) <= exact * (1 + excess) + mpmath.mpf("1e-322")


def adversaries():
    generator = torch.Generator().manual_seed(5)
    normal = torch.randn(7, 11, generator=generator, dtype=torch.float64)
    twin = normal[:6].clone()
    twin[3] = twin[0] * (1 + 1e-9)
    graded = normal * torch.logspace(0, -12, 11, dtype=torch.float64)
    spiked = torch.zeros(5, 8, dtype=torch.float64)
    spiked[2, 3] = 1 - 2.0**-53
    near = orthonormal_initial(6, 10, generator, torch.float64)
    return {
        "random wide": normal,
        "random tall": normal.mT,
        "square": normal[:, :7],
        "row": normal[:1],
        "column": normal[:, :1],
        "single": normal[:1, :1],
        "orthonormal": near,
        "orthonormal to float32": near.float().double(),
        "nearly orthonormal": near + 1e-6 * normal[:6, :10],
        "rank 1": torch.outer(normal[0, :5], normal[1]),
        "two leading directions": twin,
        "ill-conditioned": graded,
        "all ones": torch.ones(4, 9, dtype=torch.float64),
        "one entry": spiked,
        "upper triangle": torch.ones(6, 6, dtype=torch.float64).triu(),
    }


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", adversaries())
def test_bound_is_above_the_norm_and_tight(name, scale):
    W = adversaries()[name] * scale
    assert_is_bound(spectral_norm_bound(W), exact_norm(W), 1e-9)


@pytest.mark.parametrize("size", [2, 4, 16, 64, 256])
@pytest.mark.parametrize("scale", [1.0, 2.0**500, 2.0**-1040, 3.0])
def test_bound_of_matrices_whose_norm_is_known_exactly(size, scale):
    """A Hadamard matrix of size n has n equal singular values, sqrt n; a rational square root is compared by squaring."""
    W = torch.from_numpy(scipy.linalg.hadamard(size).astype(np.float64)) * scale
    found = Fraction(spectral_norm_bound(W))
    assert found**2 >= size * Fraction(scale) ** 2
    assert float(found / Fraction(scale)) <= size**0.5 * (1 + 1e-9)


@pytest.mark.parametrize("seed", range(30))
def test_bound_of_rotated_integers(seed):
    """Signed permutations of a diagonal: the norm is the largest entry, to the last digit."""
    random = np.random.default_rng(seed)
    rows, columns = random.integers(1, 60, 2)
    k = min(rows, columns)
    diagonal = random.integers(1, 1000, k).astype(np.float64) * random.choice([1.0, 1e-3, 1e9])
    W = np.zeros((rows, columns))
    W[random.permutation(rows)[:k], random.permutation(columns)[:k]] = diagonal * random.choice([-1, 1], k)
    found = spectral_norm_bound(torch.from_numpy(W))
    assert diagonal.max() <= found <= diagonal.max() * (1 + 1e-9)


def test_bound_of_wide_orthonormal_weights_is_close_to_1(generator):
    """Frozen critics have such weights; the excess is due to rounding alone."""
    for shape in ((256, 784), (512, 128), (300, 300)):
        found = spectral_norm_bound(orthonormal_initial(*shape, generator, torch.float64))
        assert 1 - 1e-14 <= found <= 1 + 2e-11


def test_bound_of_huge_values_holds_or_is_infinite():
    """Up to the largest float64 numbers; a norm beyond them has no finite bound."""
    assert spectral_norm_bound(torch.tensor([[1.7e308]], dtype=torch.float64)) >= 1.7e308
    assert spectral_norm_bound(torch.full((2, 2), 1.7e308, dtype=torch.float64)) == float("inf")
    assert spectral_norm_bound(torch.tensor([[5e-324]], dtype=torch.float64)) >= 5e-324


def test_bound_of_zero_is_zero_and_does_not_depend_on_the_type(generator):
    assert spectral_norm_bound(torch.zeros(3, 4)) == 0
    W = torch.randn(5, 6, generator=generator)
    assert spectral_norm_bound(W) == spectral_norm_bound(W.double()) == spectral_norm_bound(W.clone().requires_grad_())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_bound_refuses_what_is_not_finite(value):
    with pytest.raises(CertificateError, match="learning_rate"):
        spectral_norm_bound(torch.tensor([[1.0, value]]))


@pytest.mark.parametrize("name", adversaries())
def test_power_iteration_estimates_from_below(name, generator):
    W = adversaries()[name]
    v = torch.randn(W.shape[1], generator=generator, dtype=torch.float64)
    exact = float(exact_norm(W))
    estimates = []
    for _ in range(40):
        sigma, v = spectral_norm_estimate(W, v)
        estimates.append(float(sigma))
    assert max(estimates) <= exact * (1 + 1e-14)
    assert all(b >= a * (1 - 1e-14) for a, b in pairwise(estimates))
    assert estimates[-1] >= 0.9 * exact
    assert float(torch.linalg.vector_norm(v)) == pytest.approx(1)


def test_power_iteration_has_the_gradient_of_the_norm(generator):
    """u v^T at the leading singular vectors; the iterations themselves are not differentiated."""
    W = torch.randn(4, 6, generator=generator, dtype=torch.float64).requires_grad_()
    sigma, _ = spectral_norm_estimate(W, torch.randn(6, generator=generator, dtype=torch.float64), iterations=500)
    (gradient,) = torch.autograd.grad(sigma, W)
    U, _, Vh = torch.linalg.svd(W.detach())
    torch.testing.assert_close(gradient, torch.outer(U[:, 0], Vh[0]))


def test_zero_iterations_leave_the_vector(generator):
    v = torch.randn(6, generator=generator)
    _, after = spectral_norm_estimate(torch.randn(4, 6, generator=generator), v, iterations=0)
    assert torch.equal(after, v)


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1.0, 1e20, 1e300])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (20, 5)], ids=str)
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_maximum_norm_bound_is_just_above_rational_arithmetic(p, shape, scale, generator):
    W = scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    bound = Fraction(to_maximum_norm_bound(W, p))
    rows = [[abs(Fraction(w)) for w in row] for row in W.tolist()]
    if p == 2:
        exact = max(sum(w * w for w in row) for row in rows)
        assert exact <= bound**2 <= exact * (1 + Fraction(1, 10**12))
    else:
        exact = max(max(row) if p == 1 else sum(row) for row in rows)
        assert exact <= bound <= exact * (1 + Fraction(1, 10**12))


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_maximum_norm_bound_of_extremes(p):
    assert to_maximum_norm_bound(torch.zeros(3, 2), p) == 0
    assert to_maximum_norm_bound(torch.tensor([[5e-324]], dtype=torch.float64), p) >= 5e-324
    for wrong in (math.nan, math.inf):
        with pytest.raises(CertificateError):
            to_maximum_norm_bound(torch.tensor([[wrong, 1.0]]), p)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_no_vector_is_stretched_beyond_the_maximum_norm_bound(p, generator):
    W = torch.randn(6, 11, generator=generator, dtype=torch.float64)
    x = torch.randn(2000, 11, generator=generator, dtype=torch.float64)
    ratio = (x @ W.mT).abs().amax(1) / torch.linalg.vector_norm(x, ord=p, dim=1)
    assert float(ratio.max()) <= to_maximum_norm_bound(W, p)
