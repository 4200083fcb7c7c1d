"""Gradients that come as polar factors: against a dense computation, and for every shape of weight."""

import pytest
import torch

from wdist.lipschitz.bjorck import OrthonormalLinear
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
