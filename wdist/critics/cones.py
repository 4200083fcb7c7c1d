r"""Cone critics: the lower envelope of many cones, or the upper envelope of as many that point down.

.. math:: f(x) = \pm \min_j \left( \|x - a_j\| + b_j \right)

They are 1-Lipschitz whatever the centres and offsets, and have slope 1 almost everywhere. Every 1-Lipschitz function is the limit
of such minima (McShane), so they are universal; they are at their best where mass moves towards few places, or away from them.

References:
    McShane (1934), Extension of range of functions.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.1 (pairs whose potential is made of cones).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.critics.settings import CriticSettings
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.frozen_layers import Affine

_VALUES_AT_ONCE = 1 << 17
"""Distances that stay in the cache of one core."""
_SMALLEST = 1e-12


class ConeCritic(Critic):
    """sign * min_j (||x - a_j|| + b_j) on standardised samples.

    Arguments:
        centres: the a_j, shape (cones, dim).
        sign: +1 where A lies further from the centres, -1 where B does.
        metric: of the distance.
    """

    def __init__(self, centres: Tensor, *, sign: int, metric: GroundMetric = L2) -> None:
        super().__init__()
        self.centres = nn.Parameter(centres.clone(), requires_grad=False)
        self.offsets = nn.Parameter(centres.new_zeros(len(centres)), requires_grad=False)
        self.sign, self.metric = sign, metric

    def lowest(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The least cone at each of x, shape (n, dim): its value and its number, both of shape (n,)."""
        distances = self._euclidean() if self.metric == L2 else self._others()
        parts = [distances(part).add_(self.offsets).min(1) for part in x.split(max(1, _VALUES_AT_ONCE // len(self.offsets)))]
        return torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts])

    def _others(self) -> Callable[[Tensor], Tensor]:
        return lambda x: self.metric.pairwise(x, self.centres)

    def _euclidean(self) -> Callable[[Tensor], Tensor]:
        """Distances by the expanded square, in one product: near a centre wrong by 1e-4 of the spread, seen by training alone."""
        squares = self.centres.square().sum(1, keepdim=True)
        weights = torch.cat([-2 * self.centres, squares, torch.ones_like(squares)], 1).mT

        def distances(x: Tensor) -> Tensor:
            squares = x.square().sum(1, keepdim=True)
            return torch.cat([x, torch.ones_like(squares), squares], 1).mm(weights).clamp_(min=_SMALLEST).sqrt_()

        return distances

    def forward(self, x: Tensor) -> Tensor:
        return self.sign * self.lowest(x)[0]

    def constrain_(self, *, tightly: bool = False) -> None:
        """Nothing: all cones are 1-Lipschitz."""

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        centres, offsets = (tensor.detach().double().cpu() for tensor in (self.centres, self.offsets))
        layers: list[FrozenLayer] = [Cones.distinct(centres, offsets, p=self.metric.p)]
        if self.sign < 0:
            layers.append(upside_down())
        return FrozenCritic(layers, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)


def upside_down() -> Affine:
    """x -> -x of one number."""
    return Affine(weight=-torch.ones(1, 1, dtype=torch.float64), bias=torch.zeros(1, dtype=torch.float64))


@dataclass(frozen=True, kw_only=True)
class ConeRecipe:
    """A kind of cone critic."""

    name: str
    """As users write it and results show it."""
    title: str
    """In a few words."""
    sign: int | None = None
    """+1 or -1; None where both are tried."""

    bound_by_construction: bool = True
    takes: frozenset[str] = frozenset({"centres"})

    def signed(self, sign: int) -> "ConeRecipe":
        """The same kind with its orientation decided."""
        return replace(self, sign=sign)

    def settle(self, settings: CriticSettings, *, dim: int, samples: int | None) -> CriticSettings:
        """What the user left open.

        Arguments:
            settings: of the user.
            dim: coordinates of a sample.
            samples: that train on the smaller side; None where there is no end of them.
        """
        # In more dimensions the signal of a cell is further below the noise of its samples.
        batch = max(512, min(_LARGEST_BATCH, max(_SMALLEST_BATCH, 4096 * dim), _BATCH_NUMBERS // dim))
        # A cone learns from the samples that lie nearest to it: few samples feed few.
        fed = _CENTRES if samples is None else max(_FEWEST, min(_CENTRES, samples // _SAMPLES_A_CONE))
        return settings.filled(centres=fed, batch_size=batch, learning_rate=_RATE, schedule="linear", lipschitz=1.0)

    def build(
        self,
        a: Tensor,
        b: Tensor,
        settings: CriticSettings,
        generator: torch.Generator,
        *,
        participation: float,
        metric: GroundMetric = L2,
    ) -> ConeCritic:
        """Cones whose centres are samples of the side that is to lie low, in many dimensions drawn towards the middle.

        There, the tips lie far from all samples, and of two samples hardly one is nearer to a third than any other.

        Arguments:
            a, b: standardised training samples, shapes (n, dim) and (m, dim).
            settings: with nothing left open.
            generator: of the choice, on the CPU.
            participation: about how many directions carry the variance of the samples.
            metric: of the distance.
        """
        assert self.sign is not None, "decided before"
        low = (b if self.sign > 0 else a).float()
        chosen = torch.randint(len(low), (settings.centres or 0,), generator=generator).to(low.device)
        reach = max(_LEAST_REACH, min(1.0, _WHOLE_REACH / participation))
        return ConeCritic(reach * low[chosen], sign=self.sign, metric=metric)


_CENTRES, _FEWEST, _SAMPLES_A_CONE = 512, 16, 25
_SMALLEST_BATCH, _LARGEST_BATCH, _BATCH_NUMBERS = 1 << 14, 1 << 16, 1 << 23
_RATE = 0.5
"""In mean distances of a sample from its centre, for a unit of gradient."""
_LEAST_REACH, _WHOLE_REACH = 0.3, 8.0
"""How far out the first centres lie, as a share of a sample's way; and up to how many dimensions that is all of it."""

RECIPE = ConeRecipe(name="cones", title="envelope of cones")
