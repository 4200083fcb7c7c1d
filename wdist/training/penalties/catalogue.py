"""All penalties by name. A new one is a file of its own and one line here."""

import torch

from wdist.training.penalties.adversarial import adversarial_lipschitz_penalty
from wdist.training.penalties.gradient import gradient_penalty, one_sided_gradient_penalty
from wdist.training.penalties.lipschitz import lipschitz_penalty
from wdist.training.penalties.penalty import Penalty, PenaltyFactory
from wdist.training.penalties.spectral_jacobian import spectral_jacobian_penalty

PENALTIES: dict[str, PenaltyFactory] = {
    "gradient-penalty": gradient_penalty,
    "gradient-penalty-one-sided": one_sided_gradient_penalty,
    "lipschitz-penalty": lipschitz_penalty,
    "adversarial-lipschitz": adversarial_lipschitz_penalty,
    "spectral-jacobian": spectral_jacobian_penalty,
}


def penalty(name: str, generator: torch.Generator) -> Penalty:
    """The penalty of a name, which takes its randomness from ``generator``, on the device of the samples."""
    return PENALTIES[name](generator)
