"""Spectral normalisation: weights divided by a power-iteration estimate of their largest singular value.

References:
    Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative adversarial networks, arXiv:1802.05957.
"""

import torch
from torch import Tensor

from wdist.lipschitz.linalg.norms import divided_by_norm, spectral_norm_estimate
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear


class SpectralNormLinear(LipschitzLinear):
    """A linear layer whose weight is divided by an estimate of its spectral norm; gradients flow through the estimate."""

    constraint = "spectral"
    title = "spectral normalisation"
    side_by_side = True

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__(inputs, outputs, generator=generator, options=options)
        self.register_buffer("leading", torch.randn(inputs, generator=generator))
        self.leading: Tensor

    def training_weight(self) -> Tensor:
        sigma, leading = spectral_norm_estimate(self.weight, self.leading, iterations=1 if self.training else 0)
        if self.training:
            self.leading.copy_(leading)
        return self.weight / sigma[..., None, None]

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Refines the estimate before an evaluation; in training every forward pass does one iteration."""
        if tightly:
            self.leading.copy_(spectral_norm_estimate(self.weight, self.leading, iterations=20)[1])

    def plain_weight(self) -> Tensor:
        return divided_by_norm(self.weight.detach().double().cpu())
