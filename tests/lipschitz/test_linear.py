"""Linear layers in training: the gradient is tangent, the weight stays where it belongs, the frozen weight has norm 1."""

import numpy as np
import pytest
import torch

from wdist.linalg.orthonormalise import orthonormal_initial
from wdist.linalg.spectral_norm import spectral_norm_bound
from wdist.lipschitz.linear import OrthonormalLinear, SpectralNormLinear, _TangentLinear

SHAPES = {"wide": (6, 15), "tall": (15, 6), "square": (9, 9), "one output": (1, 8), "one input": (8, 1)}
ROWS = {"few rows": 3, "as many rows as the smaller side": None, "many rows": 64, "one row": 1}


def dense_projection(W, G):
    """G - sym(G W^T) W for W W^T = I, and G - W sym(W^T G) for W^T W = I (Absil, Mahony & Sepulchre 2008, section 3.6.1)."""
    if W.shape[0] <= W.shape[1]:
        S = G @ W.mT
        return G - (S + S.mT) / 2 @ W
    S = W.mT @ G
    return G - W @ (S + S.mT) / 2


@pytest.mark.parametrize("input_has_gradient", [True, False], ids=["inner layer", "first layer"])
@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("shape", SHAPES)
def test_weight_gradient_is_the_tangent_projection_of_the_euclidean_one(shape, rows, input_has_gradient, generator):
    outputs, inputs = SHAPES[shape]
    n = ROWS[rows] or min(outputs, inputs)
    W = orthonormal_initial(outputs, inputs, generator, torch.float64).requires_grad_()
    b = torch.randn(outputs, generator=generator, dtype=torch.float64).requires_grad_()
    h = torch.randn(n, inputs, generator=generator, dtype=torch.float64).requires_grad_(input_has_gradient)
    incoming = torch.randn(n, outputs, generator=generator, dtype=torch.float64)
    plain = torch.nn.functional.linear(h, W, b)
    z = _TangentLinear.apply(h, W, b)
    torch.testing.assert_close(z, plain, rtol=1e-14, atol=1e-14)
    wanted = (h, W, b) if input_has_gradient else (W, b)
    *to_input, dW, db = torch.autograd.grad(z, wanted, incoming)
    *to_input_plain, dW_plain, db_plain = torch.autograd.grad(plain, wanted, incoming)
    torch.testing.assert_close(dW, dense_projection(W.detach(), dW_plain), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(db, db_plain)
    for found, expected in zip(to_input, to_input_plain, strict=True):
        torch.testing.assert_close(found, expected)
    moved = W.detach() + 1e-7 * dW / float(dW.norm().clamp(min=1e-3))
    gram = moved @ moved.mT if outputs <= inputs else moved.mT @ moved
    assert float((gram - torch.eye(len(gram))).abs().max()) < 1e-13  # tangent: the manifold is left at second order only


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthonormal_layer_starts_orthonormal_and_returns(shape, generator):
    outputs, inputs = SHAPES[shape]
    layer = OrthonormalLinear(inputs, outputs, generator=generator)
    with torch.no_grad():
        layer.weight += 0.1 * orthonormal_initial(outputs, inputs, generator)
    layer.constrain_(tightly=True)
    assert np.abs(np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False) - 1).max() < 1e-5


@pytest.mark.parametrize("kind", [OrthonormalLinear, SpectralNormLinear])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_weight_has_norm_1_in_float64(kind, shape, generator):
    outputs, inputs = SHAPES[shape]
    layer = kind(inputs, outputs, generator=generator)
    with torch.no_grad():
        layer.weight.mul_(1.3).add_(0.2 * torch.randn(outputs, inputs, generator=generator))
    W = layer.plain_weight()
    assert W.dtype == torch.float64
    assert not W.requires_grad
    assert 1 - 1e-9 <= spectral_norm_bound(W) <= 1 + 1e-9


def test_a_spectral_layer_divides_by_its_estimate_and_gradients_flow_through_it(generator):
    """Forward: z = h W^T / sigma; backward through sigma, so that scaling the weight changes nothing."""
    layer = SpectralNormLinear(7, 5, generator=generator).double()
    with torch.no_grad():
        layer.weight.copy_(3 * torch.randn(5, 7, generator=generator, dtype=torch.float64))
    layer.constrain_(tightly=True)
    layer.constrain_(tightly=True)
    layer.eval()
    h = torch.randn(4, 7, generator=generator, dtype=torch.float64)
    sigma = torch.linalg.matrix_norm(layer.weight.detach(), 2)
    torch.testing.assert_close(layer(h), h @ layer.weight.detach().mT / sigma, rtol=1e-6, atol=1e-6)
    (gradient,) = torch.autograd.grad(layer(h).square().sum(), layer.weight)
    weight = layer.weight.detach()
    assert float((gradient * weight).sum().abs()) < 1e-9 * float(gradient.norm() * weight.norm())


def test_a_spectral_layer_iterates_in_training_alone(generator):
    layer = SpectralNormLinear(7, 5, generator=generator)
    h = torch.randn(4, 7, generator=generator)
    before = layer.leading.clone()
    layer.eval()
    layer(h)
    assert torch.equal(layer.leading, before)
    layer.train()
    layer(h)
    assert not torch.equal(layer.leading, before)


@pytest.mark.parametrize("shape", SHAPES)
def test_agrees_with_the_layer_of_torchlip(shape, generator):
    """Spectral normalisation, then Björck iterations of order 1, on the same raw weight."""
    torchlip = pytest.importorskip("deel.torchlip", reason="deel-torchlip is not installed")
    outputs, inputs = SHAPES[shape]
    theirs = torchlip.SpectralLinear(inputs, outputs, eps_spectral=1e-8, eps_bjorck=1e-8).double()
    raw = orthonormal_initial(outputs, inputs, generator, torch.float64)
    raw = raw @ torch.diag(torch.linspace(0.5, 2, inputs, dtype=torch.float64))
    with torch.no_grad():
        theirs.parametrizations.weight.original.copy_(raw)
    ours = OrthonormalLinear(inputs, outputs, generator=generator).double()
    with torch.no_grad():
        ours.weight.copy_(raw)
        ours.bias.copy_(theirs.bias)
    h = torch.randn(10, inputs, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(h @ ours.plain_weight().mT + ours.bias, theirs(h), rtol=1e-5, atol=1e-5)
