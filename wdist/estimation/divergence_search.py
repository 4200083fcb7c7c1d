"""Finds what is known about a divergence: a network trained for it, the critics of W1 scaled, and semi-relaxed transport."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from wdist.bounds.certificate import certify
from wdist.bounds.confidence import AUTO
from wdist.bounds.divergence import (
    FittedPotential,
    best_factor,
    fitted_potential,
    held_out_divergence,
    largest_factor,
    samples_lower,
)
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.data.pairing import Pair
from wdist.data.rows import gather
from wdist.estimation.divergence import (
    Divergence,
    DivergenceAttempt,
    DivergenceCritic,
    DivergenceOfPopulations,
    DivergenceOfSamples,
)
from wdist.estimation.evaluation import ErrorBudget, evaluate_rows, part_of
from wdist.estimation.model_selection import fit
from wdist.estimation.options import KL
from wdist.estimation.requested import budget_of_divergence, network_of_divergence
from wdist.estimation.result import CriticResult, TransportBounds
from wdist.estimation.run import Run
from wdist.lipschitz.linalg.rounding import best_up_to_rounding, product_above
from wdist.training.kind import TrainedCritic, TrainingJob
from wdist.transport.relaxed import relaxed_is_affordable, relaxed_transport

RELAXED, BY_W1 = "semi-relaxed transport", "lambda W1"
BETTING, W1 = "betting", "w1"


@dataclass(frozen=True, kw_only=True)
class _Offer:
    """A frozen critic, and how it came about."""

    name: str
    trained_for: str
    critic: FrozenCritic
    steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A critic that is certified, scaled and clipped."""

    offer: _Offer
    lipschitz_bound: float
    fitted: FittedPotential

    def lower(self, a: Potentials, b: Potentials, scale: float) -> float:
        """The certain lower bound that its best multiple proves from its values on all samples."""
        return _samples_lower(a, b, self.lipschitz_bound, scale)


def find_divergence(
    pair: Pair, results: Sequence[CriticResult], bounds: TransportBounds, errors: ErrorBudget, run: Run
) -> Divergence:
    """Bounds the divergence that the options ask for.

    The critic is chosen, scaled and clipped by the validation split, so no choice depends on the held-out samples. After an
    interruption the critics of W1 are all there is, which takes no time.

    Arguments:
        pair: of the estimate under way.
        results: the critics found for W1.
        bounds: those from transport, for W1.
        errors: among whose bounds one is for the divergence.
        run: of the estimate under way.
    """
    assert run.options.lambda_ is not None, "options of a divergence have a lambda"
    search = _Search(pair, errors, bounds, run, run.options.lambda_)
    offers = [
        _Offer(name=each.name, trained_for=W1, critic=each.frozen, steps=each.steps, seconds=each.seconds) for each in results
    ]
    trained = run.interruption.attempt(search.train)
    candidates = [search.candidate(offer) for offer in (*filter(None, [trained]), *offers)]
    best = best_up_to_rounding(candidates, lambda each: each.fitted.expected)
    a, b = (evaluate_rows(best.offer.critic, side.everything) for side in (pair.a, pair.b))
    return Divergence(
        name=KL,
        lambda_=search.scale,
        samples=search.samples(best, a, b),
        population=search.population(best, a, b),
        critic=_described(best, candidates),
    )


class _Search:
    """The stages of one search."""

    def __init__(self, pair: Pair, errors: ErrorBudget, bounds: TransportBounds, run: Run, scale: float) -> None:
        self._pair, self._errors, self._bounds, self._run = pair, errors, bounds, run
        self.scale = scale

    def train(self) -> _Offer | None:
        """A network trained for the divergence; None if it diverged or was interrupted, and for identical sides."""
        pair, run = self._pair, self._run
        if pair.identical:
            return None
        budget = budget_of_divergence(run.options, seconds=run.training_seconds(reserved=0.0))
        job = TrainingJob(
            pair=pair,
            seed=run.options.seed,
            device=run.device,
            scale=self.scale,
            observer=run.agenda.observer,
            interruption=run.interruption,
        )
        (found,) = fit(network_of_divergence(run.options, pair), [job], budget, run.agenda)
        if not isinstance(found, TrainedCritic):
            return None
        outcome = found.outcome
        return _Offer(name=found.name, trained_for=KL, critic=found.critic, steps=outcome.steps, seconds=outcome.seconds)

    def candidate(self, offer: _Offer) -> _Candidate:
        """Scales and clips a critic by the validation split."""
        pair, bound = self._pair, certify(offer.critic, self._run.metric).lipschitz_bound
        a, b = (evaluate_rows(offer.critic, side.validation).values for side in (pair.a, pair.b))
        counts = pair.a.held_out.count, pair.b.held_out.count
        fitted = fitted_potential(a, b, largest_factor(self.scale, bound), alpha=self._errors.alpha, counts=counts)
        return _Candidate(offer=offer, lipschitz_bound=bound, fitted=fitted)

    def samples(self, best: _Candidate, a: Potentials, b: Potentials) -> DivergenceOfSamples:
        """Both ends for the samples, the better of two proofs each."""
        run, coupling = self._run, self._bounds.coupling
        n, m = len(a.values), len(b.values)
        lowers = [(best.lower(a, b, self.scale), best.offer.name)]
        uppers = [] if coupling is None else [(product_above(self.scale, coupling.cost), BY_W1)]
        affordable = relaxed_is_affordable(n, m, seconds=run.transport_seconds)
        if affordable and run.options.couplings and not self._pair.identical:
            relaxed = run.interruption.attempt(self._relaxed)
            if relaxed is not None:
                lowers.append((relaxed[0], RELAXED))
                uppers.append((relaxed[1], RELAXED))
        lower, lower_method = max(lowers, key=lambda each: each[0])
        upper, upper_method = min(uppers, key=lambda each: each[0]) if uppers else (None, None)
        return DivergenceOfSamples(lower=lower, lower_method=lower_method, upper=upper, upper_method=upper_method, n_a=n, n_b=m)

    def _relaxed(self) -> tuple[float, float] | None:
        """Bounds from below and above by semi-relaxed transport between all samples."""
        pair, run = self._pair, self._run
        run.agenda.stage("semi-relaxed transport between all samples")
        standardisation = pair.standardisation.to(torch.device("cpu"))
        x, y = (standardisation.apply(gather(side.everything).cpu()) for side in (pair.a, pair.b))
        nats = product_above(self.scale, standardisation.spread)
        found = relaxed_transport(x, y, run.metric, scale=nats, seed=run.options.seed)
        if found is None:
            return None
        lower = 0.0
        for critic in (FrozenCritic(layers, standardisation) for layers in found.critics):
            a, b = (evaluate_rows(critic, side.everything) for side in (pair.a, pair.b))
            lower = max(lower, _samples_lower(a, b, certify(critic, run.metric).lipschitz_bound, self.scale))
        return lower, found.upper

    def population(self, best: _Candidate, a: Potentials, b: Potentials) -> DivergenceOfPopulations:
        """Both ends for the populations: held-out values from below, lambda times that of W1 from above."""
        run, pair, errors = self._run, self._pair, self._errors
        held_a, held_b = (part_of(best.offer.critic, side.held_out, side, whole) for side, whole in ((pair.a, a), (pair.b, b)))
        method = BETTING if run.options.ci == AUTO else run.options.ci  # clipped values are bounded, whatever the support
        held = held_out_divergence(held_a, held_b, best.fitted.potential, alpha=errors.alpha, method=method)
        above = self._bounds.population_upper
        return DivergenceOfPopulations(
            estimate=held.estimate,
            lower=held.lower,
            upper=None if above is None else product_above(self.scale, above.value),
            confidence=errors.confidence,
            jointly_with=errors.bounds,
            method=method,
            n_a=len(held_a.values),
            n_b=len(held_b.values),
        )


def _samples_lower(a: Potentials, b: Potentials, lipschitz_bound: float, scale: float) -> float:
    return samples_lower(a, b, best_factor(a.values, b.values, largest_factor(scale, lipschitz_bound)))


def _described(best: _Candidate, candidates: Sequence[_Candidate]) -> DivergenceCritic:
    offer, potential = best.offer, best.fitted.potential
    low, high = potential.ends
    return DivergenceCritic(
        name=offer.name,
        trained_for=offer.trained_for,
        lipschitz_bound=product_above(potential.factor, best.lipschitz_bound),
        low=low,
        high=high,
        tried=tuple(
            DivergenceAttempt(
                name=each.offer.name,
                trained_for=each.offer.trained_for,
                expected=each.fitted.expected,
                steps=each.offer.steps,
                seconds=each.offer.seconds,
                chosen=each is best,
            )
            for each in candidates
        ),
        frozen=offer.critic,
        clipped=potential,
    )
