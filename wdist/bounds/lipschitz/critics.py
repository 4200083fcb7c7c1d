"""Semidefinite bounds of critics: multipliers are found once, stored with the critic, and checked whenever it is certified."""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from wdist.bounds.lipschitz.matrix import Matrix
from wdist.bounds.lipschitz.semidefinite import Layers, Multipliers, SlopeRange, proved_bound, semidefinite_bound
from wdist.critics.frozen import FrozenCritic
from wdist.lipschitz.activations import Activated
from wdist.lipschitz.frozen_layer import Affine

_MOST_UNITS = 2000
"""Size of the largest matrix inequality worth its time for a critic."""
_WORK = 2e10
"""Floating-point operations of the search, about as many as a few hundred training steps take."""
_known: WeakKeyDictionary[FrozenCritic, float | None] = WeakKeyDictionary()


def with_multipliers(critic: FrozenCritic) -> FrozenCritic:
    """Returns the critic with multipliers that prove a semidefinite bound, or the same critic if none are found.

    The critic must consist of matrices and elementwise activations in turn.
    """
    layers = _layers(critic)
    if layers is None or layers.units > _MOST_UNITS or (found := semidefinite_bound(layers, work=_WORK)) is None:
        return critic
    multipliers = found[1]
    packed = torch.cat([torch.tensor([multipliers.rho, *multipliers.scales], dtype=torch.float64), multipliers.t])
    return FrozenCritic(critic.layers, critic.standardisation, lipschitz=critic.lipschitz, multipliers=packed)


def semidefinite_constant(critic: FrozenCritic) -> float | None:
    """The Euclidean Lipschitz bound that a critic's stored multipliers prove for its network; None if they prove none."""
    if critic.multipliers is None:
        return None
    if critic not in _known:
        _known[critic] = _proved(critic, critic.multipliers)
    return _known[critic]


def _proved(critic: FrozenCritic, packed: Tensor) -> float | None:
    layers = _layers(critic)
    if layers is None or layers.units > _MOST_UNITS or packed.ndim != 1:
        return None
    count = len(layers.matrices)
    rho, scales, t = packed[:1].tolist(), packed[1 : 1 + count].tolist(), packed[1 + count :]
    return proved_bound(layers, Multipliers(rho=rho[0], scales=tuple(scales), t=t)) if rho else None


def _layers(critic: FrozenCritic) -> Layers | None:
    """The critic as alternating matrices and activations; None if it has other layers."""
    matrices, slopes = [], []
    for position, layer in enumerate(critic.layers):
        if type(layer) is Affine and position % 2 == 0:
            matrices.append(Matrix(value=layer.weight))
        elif isinstance(layer, Activated) and position % 2 == 1 and layer.activation.slopes is not None:
            low, high = (torch.full((len(matrices[-1].value),), slope, dtype=torch.float64) for slope in layer.activation.slopes)
            slopes.append(SlopeRange(low=low, high=high))
        else:
            return None
    return Layers(matrices=tuple(matrices), slopes=tuple(slopes)) if slopes and len(matrices) == len(slopes) + 1 else None
