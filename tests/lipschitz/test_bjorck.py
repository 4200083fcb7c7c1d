"""Polar gradients: tangent parts and polar factors of products compared with dense computations."""

import pytest
import torch

from wdist.lipschitz.bjorck import OrthonormalLinear, product_polar
from wdist.lipschitz.linalg.orthonormalise import polar_express


@pytest.mark.parametrize(("inputs", "outputs"), [(12, 8), (8, 8), (8, 12)], ids=str)
@pytest.mark.parametrize("rows", [3, 30])
def test_the_gradient_is_the_tangent_part_of_the_polar_factor(inputs, outputs, rows, generator):
    """U - sym(U W^T) W where the rows of W are orthonormal, U - W sym(W^T U) where its columns are."""
    layer = OrthonormalLinear(inputs, outputs, generator=generator).double()
    layer.weight.data = torch.linalg.qr(layer.weight.data if outputs >= inputs else layer.weight.data.mT)[0]
    if outputs < inputs:
        layer.weight.data = layer.weight.data.mT.contiguous()
    layer.polar_gradient = True
    h = torch.randn(rows, inputs, generator=generator, dtype=torch.float64, requires_grad=True)
    delta = torch.randn(rows, outputs, generator=generator, dtype=torch.float64)
    layer(h).backward(delta)
    W, U = layer.weight.detach(), polar_express(delta.mT @ h.detach())
    S = U @ W.mT if outputs <= inputs else W.mT @ U
    normal = (S + S.mT) @ W / 2 if outputs <= inputs else W @ (S + S.mT) / 2
    torch.testing.assert_close(layer.weight.grad, U - normal, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(h.grad, delta @ W)
    torch.testing.assert_close(layer.bias.grad, delta.sum(0))


def test_the_gradient_of_a_single_output_has_norm_1_and_is_tangent(generator):
    layer = OrthonormalLinear(7, 1, generator=generator)
    layer.polar_gradient = True
    layer(torch.randn(5, 7, generator=generator)).sum().backward()
    assert float(layer.weight.grad.norm()) == pytest.approx(1, rel=1e-5)
    assert float((layer.weight.grad * layer.weight.detach()).sum()) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 9, 4), (6, 12, 12), (8, 5, 3)], ids=str)
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_product_polar_is_the_polar_factor_of_the_product(shape, scale, generator):
    n, outputs, inputs = shape
    D = scale * torch.randn(n, outputs, generator=generator, dtype=torch.float64)
    H = torch.randn(n, inputs, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(product_polar(D, H).mT @ H, polar_express(D.mT @ H), rtol=1e-6, atol=1e-8)


def test_float32_tolerates_a_product_of_low_rank(generator):
    """Samples in the plane give such products, since later layers see little more than two directions."""
    D, h = torch.randn(2, 128, 64, generator=generator)
    H = h[:, :2] @ h[:2, :] + 1e-6 * h
    U = product_polar(D, H).mT @ H
    assert float(torch.linalg.matrix_norm(U, 2)) < 1.3


def test_the_polar_factor_of_zero_is_zero():
    assert torch.equal(product_polar(torch.zeros(3, 4), torch.ones(3, 2)), torch.zeros(3, 4))
