"""Orthonormalisers: the final singular values for any initial ones."""

import numpy as np
import pytest
import torch

from wdist.errors import CertificateError
from wdist.lipschitz.linalg import orthonormalise
from wdist.lipschitz.linalg.orthonormalise import (
    bjorck,
    bjorck_product,
    gram,
    orthonormal_initial,
    orthonormality_defect,
    polar_express,
    polar_factor,
    retract_,
    safe_scale,
)

SHAPES = [(6, 6), (5, 17), (17, 5), (1, 9), (9, 1), (1, 1), (40, 24), (24, 40)]


def with_singular_values(rows, columns, values, generator):
    """A matrix whose singular values are known by construction."""
    k = min(rows, columns)
    U = orthonormal_initial(rows, k, generator, torch.float64)
    V = orthonormal_initial(columns, k, generator, torch.float64)
    return (U * torch.as_tensor(values, dtype=torch.float64)) @ V.mT


def singular_values(W):
    return np.linalg.svd(W.double().numpy(), compute_uv=False)


def polar_by_svd(W):
    """U V^T from numpy's singular value decomposition."""
    U, _, Vh = np.linalg.svd(W.double().numpy(), full_matrices=False)
    return torch.from_numpy(U @ Vh)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_gram_is_the_smaller_one(shape, generator):
    W = torch.randn(*shape, generator=generator)
    assert gram(W).shape == (min(shape),) * 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_initial_weights_are_orthonormal(shape, dtype, generator):
    W = orthonormal_initial(*shape, generator, dtype)
    assert W.shape == shape
    assert W.dtype == dtype
    assert W.is_contiguous()
    assert np.abs(singular_values(W) - 1).max() <= 8 * torch.finfo(dtype).eps


def test_initial_weights_are_a_function_of_the_generator_and_uniform():
    """For Haar matrices the mean of an entry is 0 and that of its square 1 / n; a plain QR prefers a sign."""
    draws = torch.stack([orthonormal_initial(3, 3, torch.Generator().manual_seed(seed), torch.float64) for seed in range(600)])
    assert torch.equal(draws[7], orthonormal_initial(3, 3, torch.Generator().manual_seed(7), torch.float64))
    deviation = 4 * (1 / 3 / 600) ** 0.5
    assert float(draws.mean(0).abs().max()) < deviation
    assert float((draws.square().mean(0) - 1 / 3).abs().max()) < 4 * (4 / 45 / 600) ** 0.5  # variance of u^2: 3/15 - 1/9


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_defect_bounds_the_norm_and_is_zero_only_when_orthonormal(shape, generator):
    W = torch.randn(*shape, generator=generator, dtype=torch.float64)
    assert singular_values(W).max() <= float((1 + orthonormality_defect(W)).sqrt()) * (1 + 1e-14)
    assert float(orthonormality_defect(orthonormal_initial(*shape, generator, torch.float64))) < 1e-14


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("kind", ["normal", "constant", "one entry", "heavy tails", "zero"])
def test_safe_scale_is_never_below_the_norm(shape, kind, generator):
    z = torch.randn(*shape, generator=generator, dtype=torch.float64)
    one = torch.zeros_like(z)
    one[-1, -1] = -3
    W = {"normal": z, "constant": torch.ones_like(z), "one entry": one, "heavy tails": z**9, "zero": z * 0}[kind]
    assert singular_values(W).max() <= float(safe_scale(W)) * (1 + 1e-14)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bjorck_reaches_the_polar_factor_after_safe_scaling(shape, order, generator):
    W = with_singular_values(*shape, np.linspace(0.3, 4, min(shape)), generator)
    found = bjorck(W / safe_scale(W), order=order, iterations=40)
    assert np.abs(singular_values(found) - 1).max() < 1e-13
    torch.testing.assert_close(found, polar_by_svd(W), rtol=0, atol=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_bjorck_converges_at_its_order(order, generator):
    """An error e becomes a multiple of e^(order + 1)."""
    W = with_singular_values(8, 12, 1 - np.linspace(0, 0.05, 8), generator)
    error = np.abs(singular_values(bjorck(W, order=order, iterations=1)) - 1).max()
    assert error < 2 * 0.05 ** (order + 1) * 1.5**order + 1e-15


def test_bjorck_maps_singular_values_by_its_polynomial(generator):
    values = np.array([0.0, 0.2, 0.7, 1.0, 1.3])
    W = with_singular_values(5, 7, values, generator)
    q = 1 - values**2
    expected = {1: 1 + q / 2, 2: 1 + q / 2 + 3 * q**2 / 8, 3: 1 + q / 2 + 3 * q**2 / 8 + 5 * q**3 / 16}
    for order, factor in expected.items():
        found = singular_values(bjorck(W, order=order, iterations=1))
        np.testing.assert_allclose(found, np.sort(values * factor)[::-1], atol=1e-14)


def test_bjorck_of_order_1_never_overshoots(generator):
    """THEORY: |1.5 s - 0.5 s^3| <= 1 on [0, 2], so weights that have not converged are slack, not invalid."""
    W = with_singular_values(30, 30, np.linspace(0, 2, 30), generator)
    for iterations in range(1, 6):
        assert singular_values(bjorck(W, iterations=iterations)).max() <= 1 + 1e-14


def test_parseval_step_is_the_stated_update(generator):
    """(1 + beta) W - beta W W^T W, from Cisse et al. (2017), Parseval networks."""
    W = with_singular_values(4, 6, [0.4, 0.8, 1.0, 1.2], generator)
    for beta in (0.1, 0.3, 0.5):
        torch.testing.assert_close(bjorck(W, beta=beta, iterations=1), (1 + beta) * W - beta * W @ W.mT @ W)
        assert np.abs(singular_values(bjorck(W, beta=beta, iterations=200)) - 1).max() < 1e-12


def test_bjorck_keeps_a_zero_singular_value(generator):
    W = with_singular_values(4, 4, [1, 0.5, 0.5, 0], generator)
    np.testing.assert_allclose(
        singular_values(bjorck(W, iterations=30)), [1, 1, 1, 0], atol=1e-10
    )  # rounding of the input grows by a factor of 1.5 per iteration


def test_bjorck_is_differentiable(generator):
    W = with_singular_values(3, 4, [0.6, 0.8, 1.1], generator).requires_grad_()
    assert torch.autograd.gradcheck(lambda W: bjorck(W, order=2, iterations=3), (W,))


def test_bjorck_refuses_an_order_below_1_and_beta_elsewhere():
    with pytest.raises(ValueError, match="order"):
        bjorck(torch.eye(2), order=0)
    with pytest.raises(ValueError, match="beta"):
        bjorck(torch.eye(2), order=2, beta=0.3)


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("noise", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8), (1, 12), (12, 1)], ids=str)
def test_retraction_neither_shrinks_nor_explodes_under_many_steps(shape, noise, order):
    """Steps of the size that an optimiser takes, and far larger ones, with one retraction each."""
    generator = torch.Generator().manual_seed(17)
    W = orthonormal_initial(*shape, generator)
    for _ in range(60):
        W += noise * orthonormal_initial(*shape, generator)
        retract_(W, order=order)
        values = singular_values(W)
        # A step that cancels a direction leaves it small; it grows again, and no singular value leaves (0, sqrt 3).
        assert values.max() < 1.5
        assert np.isfinite(values).all()
    for _ in range(12):
        retract_(W, order=order)
    assert np.abs(singular_values(W) - 1).max() < 1e-5


@pytest.mark.parametrize("order", [1, 2, 3, 4])
def test_retraction_keeps_an_orthonormal_matrix_and_stays_in_a_band_after_a_small_step(order, generator):
    W = orthonormal_initial(24, 48, generator, torch.float64)
    kept = W.clone()
    retract_(kept, order=order)
    torch.testing.assert_close(kept, W, rtol=0, atol=1e-14)
    W += 0.1 * orthonormal_initial(24, 48, generator, torch.float64)
    retract_(W, order=order)
    assert np.abs(singular_values(W) - 1).max() < 2 * 0.11**2


@pytest.mark.parametrize("factor", [1e-2, 0.3, 1.6, 3.0, 30.0])
def test_retraction_recovers_from_a_wrong_scale(factor, generator):
    W = factor * orthonormal_initial(10, 14, generator, torch.float64)
    for _ in range(40):
        retract_(W)
    assert np.abs(singular_values(W) - 1).max() < 1e-12


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("condition", [1.5, 1e3, 1e8])
def test_polar_factor_agrees_with_the_svd(shape, condition, generator):
    k = min(shape)
    W = with_singular_values(*shape, np.geomspace(1 / condition, 1, k), generator)
    found = polar_factor(W)
    assert found.dtype == torch.float64
    assert np.abs(singular_values(found) - 1).max() < 1e-11
    torch.testing.assert_close(found, polar_by_svd(W), rtol=0, atol=1e-13 + 1e-15 * condition * k)


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1.0, 1e30, 1e150])
def test_polar_factor_does_not_depend_on_the_scale(scale, generator):
    W = with_singular_values(6, 9, np.linspace(0.5, 1, 6), generator)
    torch.testing.assert_close(polar_factor(W * scale), polar_by_svd(W), rtol=0, atol=1e-12)


@pytest.mark.parametrize("values", [[1, 1, 0], [1, 1e-12, 0], [0, 0, 0]], ids=str)
def test_polar_factor_of_a_matrix_without_full_rank_is_some_orthonormal_matrix(values, generator):
    W = with_singular_values(3, 5, values, generator)
    assert np.abs(singular_values(polar_factor(W)) - 1).max() < 1e-11


def test_polar_factor_refuses_what_is_not_finite():
    with pytest.raises(CertificateError, match="learning_rate"):
        polar_factor(torch.tensor([[1.0, float("nan")]]))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_polar_express_leaves_singular_values_near_1(shape, scale, generator):
    k = min(shape)
    W = with_singular_values(*shape, np.geomspace(0.01, 1, k), generator) * scale
    after_3, after_5, after_7 = (singular_values(polar_express(W, steps=steps)) for steps in (3, 5, 7))
    assert 0.1 < after_3.min()
    assert after_3.max() < 1.9
    assert 0.85 < after_5.min()
    assert after_5.max() < 1.15
    assert np.abs(after_7 - 1).max() < 1e-8


@pytest.mark.parametrize("shape", [(256, 256), (300, 270), (256, 700), (2, 600, 256)], ids=str)
@pytest.mark.parametrize("half", [False, True], ids=["float32", "bfloat16"])
def test_wide_updates_may_be_multiplied_in_low_precision(half, shape, generator, monkeypatch):
    monkeypatch.setattr(orthonormalise, "multiplies_bfloat16", lambda: half)
    *count, m, n = shape
    matrices = [with_singular_values(m, n, np.geomspace(0.1, 1, min(m, n)), generator) for _ in range(*count or (1,))]
    W = torch.stack(matrices).float() if count else matrices[0].float()
    found = polar_express(W)
    assert found.dtype == torch.float32
    values = torch.linalg.svdvals(found.double())
    assert 0.09 < float(values.min())
    assert float(values.max()) < 1.95
    exact = polar_express(W.double())
    assert float((found.double() - exact).norm() / exact.norm()) < (0.05 if half else 0.01)


def test_polar_express_of_zero_is_zero():
    """A zero gradient moves nothing and produces no nan."""
    for dtype in (torch.float32, torch.float64):
        assert torch.equal(polar_express(torch.zeros(3, 5, dtype=dtype)), torch.zeros(3, 5, dtype=dtype))


@pytest.mark.parametrize("iterations", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(6, 11), (11, 6), (8, 8)], ids=str)
def test_products_with_vectors_agree_with_the_whole_matrix(shape, iterations, generator):
    W = torch.randn(*shape, generator=generator, dtype=torch.float64)
    W = W / safe_scale(W)
    A = bjorck(W, iterations=iterations)
    for v in (
        torch.randn(shape[1], generator=generator, dtype=W.dtype),
        torch.randn(shape[1], 3, generator=generator, dtype=W.dtype),
    ):
        torch.testing.assert_close(bjorck_product(W, v, iterations), A @ v, rtol=1e-11, atol=1e-11)
