"""Constraints on weights by name: the table, and the layers that need no file of their own.

To add a constraint, write its layer and add it to the table.
"""

import torch
from torch import Tensor
from torch.nn.utils.parametrizations import orthogonal

from wdist.errors import UsageError
from wdist.lipschitz.bjorck import OrthonormalLinear, UnrolledBjorckLinear
from wdist.lipschitz.linalg.norms import divided_by_norm, spectral_norm_estimate
from wdist.lipschitz.linalg.orthonormalise import bjorck, orthonormal_initial, polar_factor
from wdist.lipschitz.linear import ClippedLinear, ConstraintOptions, LipschitzLinear, UnconstrainedLinear
from wdist.lipschitz.maximum_norm import MaximumNormLinear


class SpectralNormLinear(LipschitzLinear):
    """A linear layer divided by a power-iteration estimate of its spectral norm; gradients flow through the estimate.

    References:
        Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative adversarial networks, arXiv:1802.05957.
    """

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


class ParsevalLinear(LipschitzLinear):
    r"""A linear layer pulled towards the orthonormal matrices without reaching them; when frozen, it is divided by its norm.

    .. math:: W \leftarrow (1 + \beta) W - \beta W W^\top W

    The source takes beta from 0.0001 to 0.003, which cannot keep up with this learning rate; 1/2 would be a full Björck step.

    References:
        Cisse, Bojanowski, Grave, Dauphin & Usunier (2017), Parseval networks: improving robustness to adversarial examples,
            arXiv:1704.08847.
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, equation 8.
    """

    constraint = "parseval"
    takes = frozenset({"beta"})
    title = "Parseval weights"
    beta = 0.1

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Takes one step of equation 8; none before an evaluation, which judges the weights as they are in training."""
        if tightly:
            return
        beta = self.beta if self.options.beta is None else self.options.beta
        self.weight.copy_(bjorck(self.weight, iterations=1, beta=beta))

    def plain_weight(self) -> Tensor:
        return divided_by_norm(self.weight.detach().double().cpu())


class CayleyLinear(LipschitzLinear):
    """A linear layer whose weight is orthonormal for every value of a free parameter: a cross-check of the Björck layers.

    References:
        Lezcano-Casado & Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, arXiv:1901.08428.
        Helfrich, Willmott & Ye (2018), Orthogonal recurrent neural networks with scaled Cayley transform, arXiv:1707.09520.
    """

    constraint = "cayley"
    title = "orthonormal weights by the Cayley transform"

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__(inputs, outputs, generator=generator, options=options)
        # Registering and assigning complete a non-square weight with draws from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            orthogonal(self, "weight", orthogonal_map="cayley")
            self.weight = orthonormal_initial(outputs, inputs, generator)  # type: ignore[assignment]

    def plain_weight(self) -> Tensor:
        return polar_factor(self.weight.detach().double().cpu())


CONSTRAINTS: dict[str, type[LipschitzLinear]] = {
    layer.constraint: layer
    for layer in (
        OrthonormalLinear,
        UnrolledBjorckLinear,
        SpectralNormLinear,
        ParsevalLinear,
        MaximumNormLinear,
        CayleyLinear,
        ClippedLinear,
        UnconstrainedLinear,
    )
}


def constraint(name: str) -> type[LipschitzLinear]:
    """The linear layer with the named constraint; UsageError if the name is unknown."""
    if name not in CONSTRAINTS:
        raise UsageError(f"unknown constraint {name!r}; choose one of {', '.join(CONSTRAINTS)}")
    return CONSTRAINTS[name]
