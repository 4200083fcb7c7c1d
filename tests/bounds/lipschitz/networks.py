"""Networks that tests of Lipschitz bounds share."""

import itertools
import math

import torch
from torch import Tensor, nn

from wdist.ground_metric import GroundMetric

ORDER = {"l2": 2, "linf": math.inf}


def mlp(*widths: int, seed: int = 0, activation: type[nn.Module] = nn.ReLU, scale: float = 1.0) -> nn.Sequential:
    """Random weights whose layers have norms of about 1 to 2."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        linear = nn.Linear(before, after).double()
        with torch.no_grad():
            linear.weight.normal_().mul_(scale / math.sqrt(before))
        layers += [linear, activation().double()]
    return nn.Sequential(*layers[:-1])


def largest_jacobian(module: nn.Module, x: Tensor, metric: GroundMetric) -> float:
    """The largest norm of a Jacobian at the points x."""

    def one(z: Tensor) -> Tensor:
        return module(z[None]).flatten()

    J = torch.stack([torch.autograd.functional.jacobian(one, z).reshape(-1, z.numel()) for z in x.double()])
    return float(torch.linalg.matrix_norm(J, ORDER[metric.name]).max())
