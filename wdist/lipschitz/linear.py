"""Linear layers with a constraint on the weight: interface, options, and the layers that do not usefully bound the norm."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from wdist.lipschitz.linalg.norms import divided_by_norm, spectral_norm_estimate
from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial

_CLIP, _CLIPPED_INPUTS = 0.01, 512  # the clipping constant of the source, and the size of its layers


@dataclass(frozen=True, kw_only=True)
class ConstraintOptions:
    """Options of all constraints; each constraint reads those that apply to it."""

    order: int = 1
    """Order of the Björck iterations, 1 to 4."""
    iterations: int | None = None
    """Björck iterations in a forward pass (unrolled) or per retraction; None for the constraint's default."""
    beta: float | None = None
    """Weight of the correction in equation 8 of the paper; None for the constraint's default."""
    scaling: str = "spectral"
    """Divisor before unrolled iterations: ``norms`` (equations 9-11 of the paper) or ``spectral``, which is faster."""
    first: bool = False
    p: float = 2.0
    """Whether the layer takes the samples themselves; and p of the samples' p-norm, 1, 2 or infinity, which it then uses."""


class LipschitzLinear(nn.Module):
    """h -> W h + b with a constraint on W; a generator on the CPU draws the initial weight."""

    constraint: ClassVar[str]
    title: ClassVar[str]
    """Name and short description of the constraint."""
    takes: ClassVar[frozenset[str]] = frozenset()
    """Which of the settings ``bjorck_order``, ``bjorck_iterations`` and ``beta`` the constraint uses."""
    bounded: ClassVar[bool] = True
    """Whether the frozen weight has norm at most 1 in the norms that the constraint applies to."""
    optimizer: ClassVar[str] = "adam"
    learning_rate: ClassVar[float] = 0.003
    """Default optimiser and learning rate."""
    iterations: ClassVar[int] = 1
    beta: ClassVar[float] = 0.5
    """Defaults of the options of the same names."""
    constrain_every: ClassVar[int] = 1
    """Initial number of steps between two calls of :meth:`constrain_`."""
    side_by_side: ClassVar[bool] = False
    """Whether the layer accepts weights and biases of several layers stacked along a leading axis, each with its own samples."""

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__()
        self.inputs, self.outputs = inputs, outputs
        self.options = options or ConstraintOptions()
        self.weight = nn.Parameter(self._initial(generator))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def _initial(self, generator: torch.Generator) -> Tensor:
        return orthonormal_initial(self.outputs, self.inputs, generator)

    def training_weight(self) -> Tensor:
        """The W that the forward pass uses, shape (outputs, inputs), differentiable in the parameters."""
        return self.weight

    def forward(self, h: Tensor) -> Tensor:
        W = self.training_weight()
        if W.ndim == 2:
            return nn.functional.linear(h, W, self.bias)
        return torch.baddbmm(self.bias.unsqueeze(-2), h, W.mT)

    def constrain_(self, *, tightly: bool = False) -> Tensor | None:
        """Moves the parameters back to the constraint after a step or, tightly, before an evaluation.

        Returns:
            The defect of the parameters before the call, a scalar on their device, if a small defect allows fewer calls.
        """
        return None

    def plain_weight(self) -> Tensor:
        """W in float64 on the CPU, meeting the constraint to the last digits; by default, divided by a proved bound on its norm."""
        return divided_by_norm(self.exact_weight)

    @property
    def exact_weight(self) -> Tensor:
        """The weight in training, in float64 on the CPU."""
        return self.weight.detach().double().cpu()


class PowerIteratedLinear(LipschitzLinear):
    """A linear layer with an estimate of its spectral norm, refined by a power iteration in each forward pass of the training."""

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__(inputs, outputs, generator=generator, options=options)
        self.register_buffer("leading", torch.randn(inputs, generator=generator))
        self.leading: Tensor

    def normalised(self) -> Tensor:
        """The weight over the estimate, through which gradients flow."""
        sigma, leading = spectral_norm_estimate(self.weight, self.leading, iterations=1 if self.training else 0)
        if self.training:
            self.leading.copy_(leading)
        return self.weight / sigma[..., None, None]

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Refines the estimate before an evaluation."""
        if tightly:
            self.leading.copy_(spectral_norm_estimate(self.weight, self.leading, iterations=20)[1])


class UnconstrainedLinear(LipschitzLinear):
    """A linear layer of arbitrary norm, for critics trained with a penalty."""

    constraint = "none"
    title = "no constraint"
    bounded = False
    learning_rate = 0.001
    side_by_side = True

    def plain_weight(self) -> Tensor:
        return self.exact_weight


class ClippedLinear(UnconstrainedLinear):
    """A linear layer whose weights are clipped after each step, which bounds its norm far too loosely to be useful.

    A unit amplifies by at most the clipping constant times its number of inputs, so the constant is inversely proportional to the
    number of inputs of the layer. Biases do not affect the slope and are not clipped.

    References:
        Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875.
    """

    constraint = "clip"
    title = "weight clipping"
    side_by_side = False

    @property
    def largest(self) -> float:
        """Largest magnitude of a weight."""
        return _CLIP * _CLIPPED_INPUTS / self.inputs

    def _initial(self, generator: torch.Generator) -> Tensor:
        return super()._initial(generator).clamp(-self.largest, self.largest)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        self.weight.clamp_(-self.largest, self.largest)
