r"""Cone critics: the lower envelope of many cones, or the upper envelope of many inverted cones.

.. math:: f(x) = \pm \min_j \left( \|x - a_j\| + b_j \right)

They are 1-Lipschitz for any centres and offsets, and have slope 1 almost everywhere. Every 1-Lipschitz function is a limit of such
minima (McShane), so they are universal. They work best if mass moves towards a few places or away from them.

References:
    McShane (1934), Extension of range of functions.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.1 (pairs whose potential is made of cones).
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer

_VALUES_AT_ONCE = 1 << 18
"""Number of distances that fit into the caches of two cores, which share the work of a piece."""
_SMALLEST = 1e-12


class ConeCritic(Critic):
    """sign * min_j (||x - a_j|| + b_j) on standardised samples.

    Arguments:
        centres: the a_j, shape (cones, dim).
        sign: +1 if A is farther from the centres, -1 if B is.
        metric: of the distance.
    """

    def __init__(self, centres: Tensor, *, sign: int, metric: GroundMetric = L2) -> None:
        super().__init__()
        self.centres = nn.Parameter(centres.clone(), requires_grad=False)
        self.offsets = nn.Parameter(centres.new_zeros(len(centres)), requires_grad=False)
        self.sign, self.metric = sign, metric

    def lowest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Value and index of the lowest cone at each of x, shape (n, dim); both of shape (n,)."""
        distances = self._euclidean() if self.metric == L2 else lambda part: self.metric.pairwise(part, self.centres)
        parts = [distances(part).add_(self.offsets).min(1) for part in x.split(max(1, _VALUES_AT_ONCE // len(self.offsets)))]
        return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])

    def _euclidean(self) -> Callable[[Tensor], Tensor]:
        """Distances by the expanded square, in one product; near a centre they are off by 1e-4 of the spread, but only training
        uses them."""
        squares = self.centres.square().sum(1, keepdim=True)
        weights = torch.cat([-2 * self.centres, squares, torch.ones_like(squares)], 1).mT

        def distances(x: Tensor) -> Tensor:
            squares = x.square().sum(1, keepdim=True)
            return torch.cat([x, torch.ones_like(squares), squares], 1).mm(weights).clamp_(min=_SMALLEST).sqrt_()

        return distances

    def forward(self, x: Tensor) -> Tensor:
        return self.sign * self.lowest(x)[0]

    def constrain_(self, *, tightly: bool = False) -> None:
        """Does nothing: all cones are 1-Lipschitz."""

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        centres, offsets = (tensor.detach().double().cpu() for tensor in (self.centres, self.offsets))
        layers: list[FrozenLayer] = [Cones.distinct(centres, offsets, p=self.metric.p)]
        if self.sign < 0:
            layers.append(negation())
        return FrozenCritic(layers, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)


def negation() -> Affine:
    """The layer x -> -x for one number."""
    return Affine(weight=-torch.ones(1, 1, dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64))
