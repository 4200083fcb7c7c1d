"""Linear layers whose weights are kept, or divided, so that their spectral norm is 1.

Each trains in its own way and freezes to the same thing: a plain float64 matrix.
"""

from typing import Any

import torch
from torch import Tensor, nn

from wdist.linalg.orthonormalise import orthonormal_initial, polar_factor, retract_
from wdist.linalg.spectral_norm import spectral_norm_bound, spectral_norm_estimate


class _TangentLinear(torch.autograd.Function):
    r"""z = h W^T + b, whose gradient for W is already projected to the tangent space of orthonormal matrices.

    With :math:`G = \delta^\top h` the Euclidean gradient, the projection is :math:`G - \mathrm{sym}(G W^\top) W` where
    :math:`W W^\top = I`, and :math:`G - W\, \mathrm{sym}(W^\top G)` where :math:`W^\top W = I`. Written out with
    :math:`\delta W` (which back-propagation needs anyway) it is, in the two cases,

    .. math::
        \delta^\top (h - \tfrac12 z W) - \tfrac12 z^\top \delta W, \qquad
        (\delta - \tfrac12 \delta W W^\top)^\top h - \tfrac12 z^\top \delta W,

    two or three products of the size of the layer's own. The dense form is cheaper once the batch has more rows than the smaller
    side of W.

    References:
        Absil, Mahony & Sepulchre (2008), Optimization algorithms on matrix manifolds, section 3.6.1.
    """

    @staticmethod
    def forward(ctx: Any, h: Tensor, W: Tensor, b: Tensor) -> Tensor:
        z = h @ W.mT
        ctx.save_for_backward(h, W, z)
        return z + b

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        h, W, z = ctx.saved_tensors
        delta = gradients[0]
        outputs, inputs = W.shape
        if h.shape[0] > min(outputs, inputs):
            dh = delta @ W if ctx.needs_input_grad[0] else None
            G = delta.mT @ h
            if outputs <= inputs:
                S = G @ W.mT
                G = torch.addmm(G, S + S.mT, W, alpha=-0.5)
            else:
                S = W.mT @ G
                G = torch.addmm(G, W, S + S.mT, alpha=-0.5)
            return dh, G, delta.sum(0)
        dh = delta @ W
        if outputs <= inputs:
            G = delta.mT @ torch.addmm(h, z, W, alpha=-0.5)
            G = torch.addmm(G, z.mT, dh, alpha=-0.5)
        else:
            G = torch.addmm(delta, dh, W.mT, alpha=-0.5).mT @ h
            G = torch.addmm(G, z.mT, dh, alpha=-0.5)
        return dh, G, delta.sum(0)


class OrthonormalLinear(nn.Module):
    """A linear layer whose weight stays on the manifold of orthonormal matrices.

    The gradient is tangent (:class:`_TangentLinear`), the optimiser steps along it, and :meth:`constrain_` brings the weight back
    by one Björck step. Nothing is differentiated through iterations: at an orthonormal W the derivative of a Björck step *is* the
    tangent projection.

    Arguments:
        inputs, outputs: sizes.
        generator: of the initial weight.
        order: of the Björck step.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.2.1.
    """

    constraint = "bjorck"

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, order: int = 1) -> None:
        super().__init__()
        self.order = order
        self.weight = nn.Parameter(orthonormal_initial(outputs, inputs, generator))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, h: Tensor) -> Tensor:
        return _TangentLinear.apply(h, self.weight, self.bias)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """One retraction, or three, which leave the defect at float32 rounding, before an evaluation."""
        for _ in range(3 if tightly else 1):
            retract_(self.weight, order=self.order)

    def plain_weight(self) -> Tensor:
        """The nearest orthonormal matrix in float64, on the CPU."""
        return polar_factor(self.weight.detach().double().cpu())


class SpectralNormLinear(nn.Module):
    """A linear layer whose weight is divided by a power-iteration estimate of its spectral norm, through which gradients flow.

    References:
        Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative adversarial networks, arXiv:1802.05957.
    """

    constraint = "spectral"

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, order: int = 1) -> None:
        super().__init__()
        del order  # belongs to Björck iterations
        self.weight = nn.Parameter(orthonormal_initial(outputs, inputs, generator))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.register_buffer("leading", torch.randn(inputs, generator=generator))
        self.leading: Tensor

    def forward(self, h: Tensor) -> Tensor:
        sigma, self.leading = spectral_norm_estimate(self.weight, self.leading, iterations=1 if self.training else 0)
        return torch.nn.functional.linear(h, self.weight / sigma, self.bias)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Brings the estimate up to date; only before an evaluation, since every forward pass does one iteration."""
        if tightly:
            _, self.leading = spectral_norm_estimate(self.weight, self.leading, iterations=20)

    def plain_weight(self) -> Tensor:
        """The weight divided by a proved bound of its norm, in float64, on the CPU."""
        W = self.weight.detach().double().cpu()
        return W / max(spectral_norm_bound(W), torch.finfo(torch.float64).tiny)


LipschitzLinear = OrthonormalLinear | SpectralNormLinear
