r"""Spectral Jacobian regularisation: power iteration on the critic's Jacobian at the samples, kept from batch to batch.

Algorithm 2 of the source: with u from the batch before, :math:`g = u^\top J`, :math:`v = g / \|g\|`, and :math:`h = J v` as the
derivative of :math:`v^\top g` by u, so that reverse mode does both products; :math:`u^\top h` approaches the largest singular
value. The source adds a multiple of it to the loss of a classifier. A dual value is homogeneous, as that term is, so that their
difference would have its maximum at 0 or at infinity: here only what exceeds 1 is taken off, squared.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix F.
"""

import torch
from torch import Tensor, nn

from wdist.training.penalties.penalty import Penalty, excess

WEIGHT = 10.0


def spectral_jacobian_penalty(generator: torch.Generator) -> Penalty:
    """At the samples of A and B."""
    state: dict[str, Tensor] = {}

    def penalty(critic: nn.Module, a: Tensor, b: Tensor) -> Tensor:
        x = torch.cat([a, b]).requires_grad_()
        outputs = critic(x).reshape(len(x), -1)
        if "u" not in state or state["u"].shape != outputs.shape:
            start = torch.randn(outputs.shape, generator=generator, device=x.device, dtype=x.dtype)
            state["u"] = nn.functional.normalize(start, dim=1)
        u = state["u"].requires_grad_()
        (g,) = torch.autograd.grad((u * outputs).sum(), x, create_graph=True)
        v = nn.functional.normalize(g.detach(), dim=1)
        (h,) = torch.autograd.grad((v * g).sum(), u, create_graph=True)
        state["u"] = nn.functional.normalize(h.detach(), dim=1)
        return WEIGHT * excess((state["u"] * h).sum(1))

    return penalty
