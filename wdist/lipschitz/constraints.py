"""Constraints on weights by name: the table, and the layers without a file of their own.

To add a constraint, write its layer and add it to the table.
"""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.parametrizations import orthogonal

from wdist.errors import UsageError
from wdist.lipschitz.bjorck import OrthonormalLinear, UnrolledBjorckLinear
from wdist.lipschitz.linalg.norms import to_maximum_norm_bound
from wdist.lipschitz.linalg.orthonormalise import bjorck, orthonormal_initial, polar_factor
from wdist.lipschitz.linear import ClippedLinear, ConstraintOptions, LipschitzLinear, PowerIteratedLinear, UnconstrainedLinear

_ON_ONE_ENTRY = 0.95  # fraction of a row's initial norm on a single entry


class SpectralNormLinear(PowerIteratedLinear):
    """A linear layer divided by a power-iteration estimate of its spectral norm; gradients flow through the estimate.

    References:
        Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative adversarial networks, arXiv:1802.05957.
    """

    constraint = "spectral"
    title = "spectral normalisation"
    side_by_side = True

    def training_weight(self) -> Tensor:
        return self.normalised()


class ParsevalLinear(LipschitzLinear):
    r"""A linear layer whose weight is pulled towards the orthonormal matrices without reaching them; freezing divides by its norm.

    .. math:: W \leftarrow (1 + \beta) W - \beta W W^\top W

    The source uses beta from 0.0001 to 0.003, which cannot keep up with this learning rate; 1/2 would be a full Björck step.

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
        """Takes one step of equation 8; does nothing before an evaluation, which uses the weights as they are in training."""
        if tightly:
            return
        beta = self.beta if self.options.beta is None else self.options.beta
        self.weight.copy_(bjorck(self.weight, iterations=1, beta=beta))


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
        # Registering and assigning complete a non-square weight with random numbers from the global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (1,), generator=generator)))
            orthogonal(self, "weight", orthogonal_map="cayley")
            self.weight = orthonormal_initial(outputs, inputs, generator)  # type: ignore[assignment]

    def plain_weight(self) -> Tensor:
        return polar_factor(self.exact_weight)


class MaximumNormLinear(LipschitzLinear):
    """A linear layer of norm 1 in the maximum norm: each row is projected onto the unit l1 ball and scaled to its sphere.

    The first layer maps the samples' own p-norm to the maximum norm: its rows lie in the unit ball of the dual norm. Such networks
    with sorting activations are universal for 1-Lipschitz functions in every p-norm.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, theorem 3, section 4.2.2 and appendix C.
    """

    constraint = "linf"
    title = "rows of l1 norm 1"
    learning_rate = 0.1

    @property
    def _p(self) -> float:
        return self.options.p if self.options.first else math.inf

    @property
    def _q(self) -> float:
        return {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[self._p]

    def _initial(self, generator: torch.Generator) -> Tensor:
        """Random directions of dual norm 1; after the first layer, most of a row's norm lies on a single entry.

        A row of l1 norm 1 with evenly spread norm would average its inputs, and a few such layers would flatten them.
        """
        W = torch.randn(self.outputs, self.inputs, generator=generator)
        if self._q == 1:
            W = W / W.abs().sum(1, keepdim=True) * (1 - _ON_ONE_ENTRY)
            chosen = torch.randperm(max(self.inputs, self.outputs), generator=generator)[: self.outputs] % self.inputs
            rows = torch.arange(self.outputs)
            W[rows, chosen] += _ON_ONE_ENTRY * W[rows, chosen].sign()
        return W / torch.linalg.vector_norm(W, ord=self._q, dim=1, keepdim=True)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Projects each row onto the ball and scales it to the sphere, because a shorter row would only lose slope."""
        W = project_to_ball(self.weight, self._q)
        self.weight.copy_(W / torch.linalg.vector_norm(W, ord=self._q, dim=1, keepdim=True).clamp(min=1e-6))

    def plain_weight(self) -> Tensor:
        """The weight divided by a proved bound on its norm, so that the steepest row has norm 1."""
        W = self.exact_weight
        return W / max(to_maximum_norm_bound(W, self._p), torch.finfo(torch.float64).tiny)


def project_to_ball(Y: Tensor, q: float) -> Tensor:
    """The nearest point of the unit ball of the q-norm to each row, for q = 1, 2 or infinity."""
    if q == 1:
        magnitude = Y.abs()
        inside = magnitude.sum(-1, keepdim=True) <= 1
        return torch.where(inside, Y, project_to_simplex(magnitude).copysign(Y))
    if q == math.inf:
        return Y.clamp(-1, 1)
    return Y / torch.linalg.vector_norm(Y, dim=-1, keepdim=True).clamp(min=1)


def project_to_simplex(Y: Tensor) -> Tensor:
    r"""The nearest point of the unit simplex to each row: :math:`\max(y - \tau, 0)` with a threshold found by sorting.

    References:
        Condat (2016), Fast projection onto the simplex and the l1 ball, algorithm 1.
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix C, algorithm 1.
    """
    u = _descending(Y)
    k = torch.arange(1, Y.shape[-1] + 1, device=Y.device, dtype=Y.dtype)
    taus = (u.cumsum(-1) - 1) / k
    K = (taus < u).sum(-1, keepdim=True).clamp(min=1)  # u_k - tau_k changes sign once
    return (Y - taus.gather(-1, K - 1)).clamp(min=0)


def _descending(Y: Tensor) -> Tensor:
    """Sorts each row in descending order; on a CPU by numpy, whose vector instructions make it several times faster than torch."""
    if Y.device.type != "cpu" or Y.requires_grad:
        return Y.sort(-1, descending=True).values
    return torch.from_numpy(np.sort(Y.numpy(), axis=-1)).flip(-1)


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
