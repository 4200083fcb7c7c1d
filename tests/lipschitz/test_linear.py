"""Linear layers: tangent gradients, weights that keep their constraint, frozen weights of norm 1."""

import math

import numpy as np
import pytest
import torch

from wdist.errors import UsageError
from wdist.lipschitz.bjorck import OrthonormalLinear, TangentLinear
from wdist.lipschitz.constraints import CONSTRAINTS, SpectralNormLinear, constraint
from wdist.lipschitz.linalg.norms import spectral_norm_bound, to_maximum_norm_bound
from wdist.lipschitz.linalg.orthonormalise import bjorck, orthonormal_initial, safe_scale
from wdist.lipschitz.linear import ConstraintOptions

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
    z = TangentLinear.apply(h, W, b)
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
    assert float((gram - torch.eye(len(gram))).abs().max()) < 1e-13  # a tangent step leaves the manifold only at second order


@pytest.mark.parametrize("shape", SHAPES)
def test_an_orthonormal_layer_returns_to_the_manifold(shape, generator):
    outputs, inputs = SHAPES[shape]
    layer = OrthonormalLinear(inputs, outputs, generator=generator)
    with torch.no_grad():
        layer.weight += 0.1 * orthonormal_initial(outputs, inputs, generator)
    layer.constrain_(tightly=True)
    assert np.abs(np.linalg.svd(layer.weight.detach().numpy(), compute_uv=False) - 1).max() < 1e-5


ORTHONORMAL = ["bjorck", "bjorck-unrolled", "cayley"]
NORMED = [*ORTHONORMAL, "spectral", "parseval"]


@pytest.mark.parametrize("name", CONSTRAINTS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_layer_trains_and_freezes_to_what_it_evaluates(name, shape, generator):
    """After its constraint is met tightly; only the generator determines the initial weight."""
    outputs, inputs = SHAPES[shape]
    layer, again = (constraint(name)(inputs, outputs, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    h = torch.randn(20, inputs, generator=generator)
    torch.testing.assert_close(layer(h), again(h), rtol=0, atol=0)
    layer(h).square().sum().backward()
    with torch.no_grad():
        for parameter in layer.parameters():
            assert parameter.grad is not None
            parameter.sub_(0.01 * parameter.grad)
    for _ in range(10):
        layer.constrain_()
        layer.constrain_(tightly=True)
    layer.eval()
    W = layer.plain_weight()
    assert W.dtype == torch.float64
    assert not W.requires_grad
    trained = layer.training_weight().detach().double()
    torch.testing.assert_close(layer(h).detach().double(), h.double() @ trained.mT + layer.bias.detach(), rtol=1e-4, atol=1e-4)
    scale = float((W * trained).sum() / W.square().sum())
    torch.testing.assert_close(scale * W, trained, rtol=1e-4, atol=1e-4)
    # A weight pulled towards its constraint or projected into a ball may lie inside; freezing scales it to the boundary.
    assert (0.2 if name in ("linf", "parseval") else 0.999) < scale < 1.1


@pytest.mark.parametrize("name", ORTHONORMAL)
@pytest.mark.parametrize("shape", SHAPES)
def test_orthonormal_constraints_end_with_singular_values_of_1(name, shape, generator):
    outputs, inputs = SHAPES[shape]
    layer = constraint(name)(inputs, outputs, generator=generator)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    assert np.abs(np.linalg.svd(layer.plain_weight().numpy(), compute_uv=False) - 1).max() < 1e-6


@pytest.mark.parametrize("options", [{"order": 2}, {"order": 4}, {"beta": 0.3}, {"scaling": "norms", "iterations": 15}], ids=str)
def test_unrolled_iterations_follow_their_options_and_are_differentiated(options, generator):
    layer = constraint("bjorck-unrolled")(7, 5, generator=generator, options=ConstraintOptions(**options)).double()
    with torch.no_grad():
        layer.weight.mul_(2.0).add_(0.1 * torch.randn(5, 7, generator=generator, dtype=torch.float64))
    layer.constrain_(tightly=True)
    W = layer.training_weight()
    iterations = options.get("iterations", 3)
    scale = safe_scale(layer.weight) if options.get("scaling") == "norms" else torch.linalg.matrix_norm(layer.weight, 2)
    expected = bjorck(layer.weight / scale, order=options.get("order", 1), beta=options.get("beta", 0.5), iterations=iterations)
    torch.testing.assert_close(W, expected, rtol=1e-4, atol=1e-4)
    assert (layer.training_weight().sum().backward(), float(layer.weight.grad.norm()))[1] > 0


def test_parseval_takes_one_step_of_equation_8(generator):
    layer = constraint("parseval")(7, 5, generator=generator, options=ConstraintOptions(beta=0.2)).double()
    with torch.no_grad():
        layer.weight.mul_(1.2)
    W = layer.weight.detach().clone()
    layer.constrain_()
    torch.testing.assert_close(layer.weight.detach(), 1.2 * W - 0.2 * W @ W.mT @ W, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_rows_stay_in_the_ball_of_the_dual_norm(p, first, generator):
    layer = constraint("linf")(8, 5, generator=generator, options=ConstraintOptions(first=first, p=p))
    norm = p if first else math.inf
    assert to_maximum_norm_bound(layer.plain_weight(), norm) == pytest.approx(1, rel=1e-9)
    with torch.no_grad():
        layer.weight.mul_(3).add_(torch.randn(5, 8, generator=generator))
    layer.constrain_()
    assert to_maximum_norm_bound(layer.weight, norm) <= 1 + 1e-6
    assert to_maximum_norm_bound(layer.plain_weight(), norm) == pytest.approx(1, rel=1e-12)


def test_clipping_is_relative_to_the_inputs(generator):
    for inputs, largest in ((512, 0.01), (64, 0.08)):
        layer = constraint("clip")(inputs, 100, generator=generator)
        with torch.no_grad():
            layer.weight.mul_(100)
        layer.constrain_()
        assert float(layer.weight.detach().abs().max()) == pytest.approx(largest)


def test_an_unknown_constraint_is_refused_with_the_names():
    with pytest.raises(UsageError, match="'qr'; choose one of bjorck, "):
        constraint("qr")


@pytest.mark.parametrize("kind", [CONSTRAINTS[name] for name in NORMED])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_plain_weight_has_norm_1_in_float64(kind, shape, generator):
    outputs, inputs = SHAPES[shape]
    layer = kind(inputs, outputs, generator=generator)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(1.3).add_(0.2 * torch.randn(parameter.shape, generator=generator))
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


def test_a_spectral_layer_iterates_only_in_training(generator):
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
    torch.manual_seed(0)  # for their initial weight and power iteration, which sometimes converges to another singular value
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
