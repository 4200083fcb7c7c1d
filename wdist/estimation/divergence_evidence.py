"""Bounds for a divergence from a critic, dual variables, a plan and held-out samples; used by the search and by proofs."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.divergence import ClippedPotential, best_factor, held_out_divergence, largest_factor, samples_lower
from wdist.bounds.dual import CLAIM, PROOF, Margin
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.data.pairing import Pair
from wdist.errors import SourceError
from wdist.estimation.divergence import (
    Divergence,
    DivergenceCritic,
    DivergenceEvidence,
    DivergenceOfPopulations,
    DivergenceOfSamples,
)
from wdist.estimation.evaluation import ErrorBudget, evaluate_rows, part_of
from wdist.estimation.result import TransportBounds
from wdist.estimation.statement import ProvedDivergence
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.linalg.rounding import product_above
from wdist.transport.coupling import SLACK, Plan
from wdist.transport.relaxed import extensions, relaxed_cost_above

RELAXED, BY_W1 = "semi-relaxed transport", "lambda W1"
_LARGEST_POTENTIAL = 1e100
"""Largest absolute value of a potential; products of larger ones overflow."""


def evaluated(critic: FrozenCritic, pair: Pair) -> tuple[Potentials, Potentials]:
    """Potentials of all samples of A and of B."""
    a, b = (evaluate_rows(critic, side.everything) for side in (pair.a, pair.b))
    return a, b


def lower_by_critic(a: Potentials, b: Potentials, lipschitz_bound: float, scale: float, *, margin: Margin = CLAIM) -> float:
    """Lower bound for the samples, rounding included, from the best multiple of a critic, given its values on all of them."""
    factor = best_factor(a.values, b.values, largest_factor(scale, lipschitz_bound))
    return samples_lower(a, b, factor, margin=margin)


def lower_by_potentials(
    pair: Pair, potentials: tuple[Tensor, Tensor], metric: GroundMetric, scale: float, *, margin: Margin = CLAIM
) -> float:
    """The better of the lower bounds for the samples from the two extensions of any values at them, in the units of the data."""
    if not all(float(side.abs().max()) <= _LARGEST_POTENTIAL for side in potentials):
        return 0.0
    standardisation, lower = pair.standardisation.to(torch.device("cpu")), 0.0
    u, v = (side / standardisation.spread for side in potentials)
    for layers in extensions(*pair.standardised, (u, v), metric):
        critic = FrozenCritic(layers, standardisation)
        bound = certify(critic, metric).lipschitz_bound
        lower = max(lower, lower_by_critic(*evaluated(critic, pair), bound, scale, margin=margin))
    return lower


def upper_by_plan(pair: Pair, plan: Plan, metric: GroundMetric, scale: float, *, slack: float) -> float:
    """Upper bound for the samples from a plan to weights on the samples of B; infinity if the plan proves none."""
    nats = product_above(scale, pair.standardisation.spread)
    return relaxed_cost_above(*pair.standardised, plan, metric, scale=nats, slack=slack)


def upper_for_samples(
    pair: Pair, plan: Plan | None, bounds: TransportBounds, metric: GroundMetric, scale: float, *, slack: float = SLACK
) -> tuple[float | None, str | None]:
    """The smaller of the upper bounds for the samples, and its method; None if no transport was solved."""
    uppers = [] if bounds.coupling is None else [(product_above(scale, bounds.coupling.cost), BY_W1)]
    if plan is not None:
        uppers.append((upper_by_plan(pair, plan, metric, scale, slack=slack), RELAXED))
    best = min(uppers, default=(math.inf, None), key=lambda each: each[0])
    return best if math.isfinite(best[0]) else (None, None)


def for_populations(
    pair: Pair,
    critic: FrozenCritic,
    values: tuple[Potentials, Potentials],
    clipped: ClippedPotential,
    scale: float,
    errors: ErrorBudget,
    bounds: TransportBounds,
    *,
    margin: Margin = CLAIM,
) -> DivergenceOfPopulations:
    """Both bounds for the populations: the lower from held-out values, the upper as lambda times that for W1.

    Arguments:
        critic: fixed, like its scaling and clipping, before the held-out samples are looked at.
        values: of the critic on all samples of A and of B.
        errors: the method is that of the divergence.
    """
    sides = zip((pair.a, pair.b), values, strict=True)
    a, b = (part_of(critic, side.held_out, side, whole) for side, whole in sides)
    held = held_out_divergence(a, b, clipped, alpha=errors.alpha, method=errors.method, margin=margin)
    above = bounds.population_upper
    return DivergenceOfPopulations(
        estimate=held.estimate,
        lower=held.lower,
        upper=None if above is None else product_above(scale, above.value),
        confidence=errors.confidence,
        jointly_with=errors.bounds,
        method=errors.method,
        n_a=len(a.values),
        n_b=len(b.values),
    )


def divergence_proved_again(
    stated: ProvedDivergence,
    critic: FrozenCritic,
    evidence: DivergenceEvidence,
    pair: Pair,
    errors: ErrorBudget,
    bounds: TransportBounds,
    metric: GroundMetric,
) -> Divergence:
    """Bounds for a divergence that follow from the evidence of a proof, whatever the proof claims.

    Arguments:
        stated: lambda, and how the critic is scaled and clipped; a factor that is too large is lowered.
        critic: the critic stored in the proof.
        evidence: dual variables and a plan, if any.
        errors: of the bounds for W1.
        bounds: for W1, proved again.

    Raises:
        SourceError: the critic has values that are not finite.
    """
    scale, values = stated.lambda_, evaluated(critic, pair)
    if not all(np.isfinite(side.values).all() for side in values):
        raise SourceError("the critic of the divergence has values that are not finite at these samples; give another proof")
    bound = certify(critic, metric).lipschitz_bound
    clipped = replace(stated.clipped, factor=min(stated.factor, largest_factor(scale, bound)))
    lower = lower_by_critic(*values, bound, scale, margin=PROOF)
    if evidence.potentials is not None:
        lower = max(lower, lower_by_potentials(pair, evidence.potentials, metric, scale, margin=PROOF))
    upper, upper_method = upper_for_samples(pair, evidence.plan, bounds, metric, scale, slack=SLACK / 2)
    n, m = (len(side.values) for side in values)
    low, high = clipped.ends
    return Divergence(
        name=stated.name,
        lambda_=scale,
        samples=DivergenceOfSamples(lower=lower, lower_method="the proof", upper=upper, upper_method=upper_method, n_a=n, n_b=m),
        population=for_populations(
            pair, critic, values, clipped, scale, replace(errors, method=stated.method), bounds, margin=PROOF
        ),
        critic=DivergenceCritic(
            name=stated.title,
            trained_for=stated.trained_for,
            lipschitz_bound=product_above(clipped.factor, bound),
            low=low,
            high=high,
            tried=(),
            frozen=critic,
            clipped=clipped,
        ),
        evidence=evidence,
    )
