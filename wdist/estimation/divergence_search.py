"""Search for bounds on a divergence: a network trained for it, scaled critics of W1, and semi-relaxed transport."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from wdist.bounds.certificate import certify
from wdist.bounds.confidence import AUTO
from wdist.bounds.divergence import ClippedPotential, fitted_potential, largest_factor
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.data.pairing import Pair
from wdist.estimation.divergence import (
    Divergence,
    DivergenceAttempt,
    DivergenceCritic,
    DivergenceEvidence,
    DivergenceOfPopulations,
    DivergenceOfSamples,
)
from wdist.estimation.divergence_evidence import (
    RELAXED,
    evaluated,
    for_populations,
    lower_by_critic,
    lower_by_potentials,
    upper_for_samples,
)
from wdist.estimation.evaluation import ErrorBudget, evaluate_rows
from wdist.estimation.model_selection import fit
from wdist.estimation.options import KL
from wdist.estimation.requested import budget_of_divergence, network_of_divergence
from wdist.estimation.result import CriticResult, TransportBounds
from wdist.estimation.run import Run
from wdist.lipschitz.linalg.rounding import best_up_to_rounding, product_above
from wdist.training.kind import TrainedCritic, TrainingJob
from wdist.transport.relaxed import relaxed_is_affordable, relaxed_transport

BETTING, W1 = "betting", "w1"


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A certified critic, scaled and clipped."""

    attempt: DivergenceAttempt
    critic: FrozenCritic
    lipschitz_bound: float
    potential: ClippedPotential


def find_divergence(
    pair: Pair, results: Sequence[CriticResult], bounds: TransportBounds, errors: ErrorBudget, run: Run
) -> Divergence:
    """Bounds the divergence that the options request.

    The critic is chosen, scaled and clipped on the validation split, so no choice depends on the held-out samples. After an
    interruption, only the critics of W1 are used, which takes no time.

    Arguments:
        pair: of the estimate under way.
        results: the critics found for W1.
        bounds: for W1, from transport.
        errors: the error budget, which includes one bound for the divergence.
        run: of the estimate under way.
    """
    assert run.options.lambda_ is not None, "options of a divergence have a lambda"
    search = _Search(pair, errors, bounds, run, run.options.lambda_)
    trained, candidates = run.interruption.attempt(search.train), []
    if trained is not None:
        outcome = trained.outcome
        candidates.append(search.candidate(trained.name, KL, trained.critic, steps=outcome.steps, seconds=outcome.seconds))
    candidates += [search.candidate(each.name, W1, each.frozen, steps=each.steps, seconds=each.seconds) for each in results]
    best = best_up_to_rounding(candidates, lambda each: each.attempt.expected)
    values, evidence = evaluated(best.critic, pair), search.evidence()
    return Divergence(
        name=KL,
        lambda_=search.scale,
        samples=search.samples(best, values, evidence),
        population=search.population(best, values),
        critic=_described(best, candidates),
        evidence=evidence,
    )


class _Search:
    """The stages of one search."""

    def __init__(self, pair: Pair, errors: ErrorBudget, bounds: TransportBounds, run: Run, scale: float) -> None:
        self._pair, self._errors, self._bounds, self._run = pair, errors, bounds, run
        self.scale = scale

    def train(self) -> TrainedCritic | None:
        """Trains a network for the divergence; None if it diverges or is interrupted, and for identical sides."""
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
        return found if isinstance(found, TrainedCritic) else None

    def candidate(self, name: str, trained_for: str, critic: FrozenCritic, *, steps: int, seconds: float) -> _Candidate:
        """Scales and clips a critic on the validation split."""
        pair, bound = self._pair, certify(critic, self._run.metric).lipschitz_bound
        a, b = (evaluate_rows(critic, side.validation).values for side in (pair.a, pair.b))
        counts = pair.a.held_out.count, pair.b.held_out.count
        fitted = fitted_potential(a, b, largest_factor(self.scale, bound), alpha=self._errors.alpha, counts=counts)
        attempt = DivergenceAttempt(
            name=name, trained_for=trained_for, expected=fitted.expected, steps=steps, seconds=seconds, chosen=False
        )
        return _Candidate(attempt=attempt, critic=critic, lipschitz_bound=bound, potential=fitted.potential)

    def evidence(self) -> DivergenceEvidence:
        """Dual variables and a plan from semi-relaxed transport between all samples, if affordable."""
        n, m = (side.everything.count for side in (self._pair.a, self._pair.b))
        affordable = relaxed_is_affordable(n, m, seconds=self._run.transport_seconds)
        if not affordable or not self._run.options.couplings or self._pair.identical:
            return DivergenceEvidence()
        return self._run.interruption.attempt(self._relaxed) or DivergenceEvidence()

    def _relaxed(self) -> DivergenceEvidence | None:
        pair, run = self._pair, self._run
        run.agenda.stage("semi-relaxed transport between all samples")
        spread = pair.standardisation.spread
        nats = product_above(self.scale, spread)
        found = relaxed_transport(*pair.standardised, run.metric, scale=nats, seed=run.options.seed)
        if found is None:
            return None
        u, v = (side * spread for side in found.potentials)
        return DivergenceEvidence(potentials=(u, v), plan=found.plan)

    def samples(self, best: _Candidate, values: tuple[Potentials, Potentials], found: DivergenceEvidence) -> DivergenceOfSamples:
        """Both bounds for the samples, each the better of two proofs."""
        pair, metric = self._pair, self._run.metric
        lowers = [(lower_by_critic(*values, best.lipschitz_bound, self.scale), best.attempt.name)]
        if found.potentials is not None:
            lowers.append((lower_by_potentials(pair, found.potentials, metric, self.scale), RELAXED))
        lower, lower_method = max(lowers, key=lambda each: each[0])
        upper, upper_method = upper_for_samples(pair, found.plan, self._bounds, metric, self.scale)
        n, m = map(len, (side.values for side in values))
        return DivergenceOfSamples(lower=lower, lower_method=lower_method, upper=upper, upper_method=upper_method, n_a=n, n_b=m)

    def population(self, best: _Candidate, values: tuple[Potentials, Potentials]) -> DivergenceOfPopulations:
        """Both bounds for the populations."""
        chosen = self._run.options.ci
        method = BETTING if chosen == AUTO else chosen  # clipped values are bounded, whatever the support
        errors = replace(self._errors, method=method)
        return for_populations(self._pair, best.critic, values, best.potential, self.scale, errors, self._bounds)


def _described(best: _Candidate, candidates: Sequence[_Candidate]) -> DivergenceCritic:
    low, high = best.potential.ends
    return DivergenceCritic(
        name=best.attempt.name,
        trained_for=best.attempt.trained_for,
        lipschitz_bound=product_above(best.potential.factor, best.lipschitz_bound),
        low=low,
        high=high,
        tried=tuple(replace(each.attempt, chosen=each is best) for each in candidates),
        frozen=best.critic,
        clipped=best.potential,
    )
