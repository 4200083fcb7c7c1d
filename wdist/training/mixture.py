r"""A mixture of isotropic normal distributions of equal width, fitted by expectation-maximisation (EM).

If mass moves towards a few places, it is dense around each of them. The means of a mixture find these places from about fifty
samples each, when the gradient for a cone's tip is still noise. EM alone tends to end with two means in one place and none in
another. So in every round, fresh components compete for a few iterations, and the heaviest survive. Short rounds with many more
components than survive do better than converged ones, because the discarded components absorb the samples between the places. Two
components in the same place may both be heavy, though. In the first half of the rounds more components therefore survive, and
those whose union adds the least to the sum of squares are merged.

References:
    Ward (1963), Hierarchical grouping to optimize an objective function.
    Dempster, Laird & Rubin (1977), Maximum likelihood from incomplete data via the EM algorithm.
"""

import torch
from torch import Tensor

ROUNDS = 12
_SURPLUS = 3
"""Components of each round, as a multiple of those kept."""
_COMPETING, _KEPT = 3, 1
"""Iterations of each round, with all components and with the heaviest."""
_PASSES = 300
"""Cost of the passes over all distances, in operations per distance."""
_MERGED = 1.5
"""Components that survive to be merged, as a multiple of those kept."""
_START = 0.3
"""Fresh means start at this fraction of the way from the mean of all samples to one of them."""


def mixture_means(x: Tensor, count: int, generator: torch.Generator, *, rounds: int = ROUNDS) -> Tensor:
    """Means of the components, shape (count, dim).

    Arguments:
        x: samples, float32, shape (n, dim), with mean about 0; fewer components are returned if n < 2 count.
        count: number of components.
        generator: on the CPU, chooses the samples that fresh means start from.
        rounds: at least 1.
    """
    count = max(1, min(count, len(x) // 2))
    means, weights = x[:0], x.new_empty(0)
    for number in range(rounds):
        chosen = torch.randperm(len(x), generator=generator)[: _SURPLUS * count - len(means)].to(x.device)
        fresh = x.new_full((len(chosen),), 1 / (len(means) + len(chosen)))
        means, weights = torch.cat([means, _START * x[chosen]]), torch.cat([weights * (1 - fresh.sum()), fresh])
        means, weights = _fitted(x, means, weights, _COMPETING)
        merges = 2 * number < rounds
        heaviest = weights.topk(min(round(_MERGED * count) if merges else count, len(weights))).indices
        means, weights = _merged(means[heaviest], weights[heaviest], count)
        means, weights = _fitted(x, means, weights, _KEPT)
    return means


def operations(x: Tensor, count: int) -> float:
    """Operations of one round: two products and some passes in each iteration."""
    components = _SURPLUS * _COMPETING + _KEPT
    return len(x) * count * components * (4 * x.shape[1] + _PASSES)


def _merged(means: Tensor, weights: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Merges pairs of components whose union adds the least to the sum of squares until at most ``count`` are left."""
    means, weights = means.clone(), weights.clone()
    costs = torch.cdist(means, means).square() * weights * weights.unsqueeze(1) / (weights + weights.unsqueeze(1))
    costs.fill_diagonal_(torch.inf)
    for _ in range(len(means) - count):
        one, other = divmod(int(costs.argmin()), len(means))
        both = weights[one] + weights[other]
        means[one] = (weights[one] * means[one] + weights[other] * means[other]) / both
        weights[one], weights[other] = both, 0
        added = (means - means[one]).square().sum(1) * weights * both / (weights + both)
        added[(weights == 0) | (torch.arange(len(means), device=means.device) == one)] = torch.inf
        costs[one], costs[:, one] = added, added
        costs[other], costs[:, other] = torch.inf, torch.inf
    left = weights > 0
    return means[left], weights[left]


def _fitted(x: Tensor, means: Tensor, weights: Tensor, iterations: int) -> tuple[Tensor, Tensor]:
    """Means and weights after some iterations of EM; a component without mass keeps a weight, so that all logarithms are finite."""
    n, dim = x.shape
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
