r"""A mixture of round normal distributions of one width, fitted by expectation and maximisation.

Mass that moves towards a few places is dense around each of them. The means of a mixture find these places from fifty samples each,
where the gradient of a cone's tip is still noise.

References:
    Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
"""

import torch
from torch import Tensor

_SURPLUS, _EARLY, _LATE = 2, 15, 25
"""Twice as many components as asked for are fitted first; of these, the heaviest go on. Iterations of each stage."""
_START = 0.3
"""First means lie at this share of a sample's distance from the mean of all."""


def mixture_means(x: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Means of the components, shape (count, dim).

    Arguments:
        x: samples, float32, shape (n, dim), with mean about 0; fewer components come back where n < 2 count.
        count: number of components.
        generator: on the CPU, chooses the samples that means start from.
    """
    count = max(1, min(count, len(x) // 2))
    chosen = torch.randperm(len(x), generator=generator)[: _SURPLUS * count].to(x.device)
    means, weights = _fitted(x, _START * x[chosen], _EARLY)
    heaviest = weights.topk(min(count, len(weights))).indices
    return _fitted(x, means[heaviest], _LATE)[0]


def _fitted(x: Tensor, means: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Means and weights after some iterations; a component without mass keeps a weight, so that all logarithms are finite."""
    n, dim = x.shape
    weights = x.new_full((len(means),), 1 / len(means))
    variance = x.var(0, correction=0).mean().clamp(min=torch.finfo(x.dtype).tiny)
    squares = x.square().sum(1, keepdim=True)
    for _ in range(iterations):
        distances = torch.addmm(squares + means.square().sum(1), x, means.mT, alpha=-2).clamp_(min=0)
        shares = torch.softmax(weights.log() - distances / (2 * variance), 1)
        mass = shares.sum(0)
        variance = ((shares * distances).sum() / (n * dim)).clamp(min=torch.finfo(x.dtype).tiny)
        means = torch.where(mass.unsqueeze(1) > 1e-6, (shares.mT @ x) / mass.clamp(min=1e-6).unsqueeze(1), means)
        weights = (mass + 1) / (n + len(means))
    return means, weights
