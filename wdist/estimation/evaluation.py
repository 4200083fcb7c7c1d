"""Evaluation: what a frozen critic proves about the samples, and about the populations from samples that no choice depended on."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.certificate import Certificate, certify
from wdist.bounds.confidence import lower_confidence_bound
from wdist.bounds.dual import CLAIM, Margin, PotentialSummary, dual_value, evaluate, lower_bound, summarise, summarised_together
from wdist.bounds.lipschitz.search import largest_slope
from wdist.bounds.mean_difference import mean_difference
from wdist.critics.frozen import FrozenCritic, Potentials
from wdist.data.measure import Measure
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows, Rows, gather
from wdist.data.sources.source import SourceInfo
from wdist.distributed.processes import processes
from wdist.estimation.potential import Extremes, Potential, extremes, extremes_at, witnesses_kept
from wdist.estimation.result import Attempt, CriticResult, HeldOut, PopulationBound, SamplesInterval
from wdist.ground_metric import L2, GroundMetric
from wdist.training.kind import TrainedCritic

_SEARCHED_ROWS = 512
"""Samples of each side from which the search for the largest slope starts."""
_BATCH_NUMBERS = 1 << 18
"""Coordinates evaluated at a time: 2 MB in float64, which stays in the cache of one core."""


@dataclass(frozen=True, kw_only=True)
class ErrorBudget:
    """Confidence level shared by all population bounds of a result."""

    confidence: float
    method: str
    """Name of the lower confidence bound: a key of :data:`wdist.bounds.confidence.METHODS`."""
    lower_bounds: int = 1
    """Number of lower bounds that are stated: one for each critic, or for each of its folds where those are not averaged."""
    upper_bound: bool = False
    """Whether an upper bound is stated, too."""
    compared: int = 1
    """Number of critics among which held-out samples decide which is the main one."""

    @property
    def bounds(self) -> int:
        """Number of bounds that share the error."""
        return self.lower_bounds + self.upper_bound

    @property
    def alpha(self) -> float:
        """Error of each bound."""
        return (1 - self.confidence) / self.bounds


def evaluate_critic(
    trained: TrainedCritic,
    pair: Pair,
    errors: ErrorBudget,
    *,
    metric: GroundMetric,
    seed: int,
    tried: tuple[Attempt, ...] = (),
    margin: Margin = CLAIM,
) -> CriticResult:
    """Certifies a trained critic and evaluates it on all samples and on the held-out ones.

    Arguments:
        trained: the critic, fixed before the held-out samples are looked at.
        metric: of the bounds.
        seed: of the search for the largest slope, which is made for critics that nothing constrains.
        tried: what the critic was chosen from.
        margin: left for rounding.

    Raises:
        CertificateError: its Lipschitz constant cannot be bounded.
    """
    certificate = certify(trained.critic, metric)
    judged = judge(trained.critic, certificate, pair, errors, name=trained.name, margin=margin)
    outcome, unbounded = trained.outcome, not trained.bound_by_construction
    return CriticResult(
        name=trained.name,
        title=trained.title,
        samples=judged.samples,
        population=judged.population,
        training_value=judged.training_value,
        lipschitz_bound=certificate.lipschitz_bound,
        layers=certificate.layers,
        steps=outcome.steps,
        seconds=outcome.seconds,
        parameters=trained.critic.parameters,
        settings=trained.settings,
        history=outcome.history,
        converged=outcome.converged,
        frozen=trained.critic,
        interrupted=outcome.interrupted,
        bound_by_construction=trained.bound_by_construction,
        held_out=judged.held_out,
        potential=judged.potential,
        raw_value=judged.held_out_value / trained.critic.lipschitz if unbounded else None,
        largest_slope=_largest_slope(trained.critic, pair, metric, seed) if unbounded else None,
        tried=tried,
    )


def evaluate_rows(critic: FrozenCritic, rows: Rows) -> Potentials:
    """Potentials of all of ``rows``, in batches that suit the critic; processes take equal shares of these, with the same bits."""
    tasks = [partial(evaluate, critic, batches) for batches in _shares(critic, rows)]
    found = processes().spread("potentials", tasks)
    if len(found) == 1:
        return found[0]
    return Potentials(values=np.concatenate([each.values for each in found]), rounding=max(each.rounding for each in found))


def _shares(critic: FrozenCritic, rows: Rows) -> list[Iterator[Tensor]]:
    """Batches that suit the critic, one share for each process; they are read when they are taken."""
    size = max(1, _BATCH_NUMBERS // max(critic.dim, 256))
    if processes().size == 1:
        return [rows.batches(size)]
    shares = np.array_split(np.arange(0, rows.count, size), processes().size)
    return [(rows.span(start, min(start + size, rows.count), None) for start in share.tolist()) for share in shares]


def _of_all(critic: FrozenCritic, measure: Measure, *, sign: int) -> Potentials | PotentialSummary:
    """Potentials of all samples; of a stream, their mean and the highest of ``sign`` times them."""
    if isinstance(measure.everything, ResidentRows):
        return evaluate_rows(critic, measure.everything)
    most = witnesses_kept(measure.info)
    tasks = [partial(summarise, critic, batches, sign=sign, most=most) for batches in _shares(critic, measure.everything)]
    return summarised_together(processes().spread("potentials of a stream", tasks), sign=sign, most=most)


def _largest_slope(critic: FrozenCritic, pair: Pair, metric: GroundMetric, seed: int) -> float:
    a, b = (gather(side.training_sample(_SEARCHED_ROWS)).cpu() for side in (pair.a, pair.b))
    return largest_slope(critic, a, b, metric=metric, generator=torch.Generator().manual_seed(seed))


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """Bounds that one certified critic proves for one pair."""

    samples: SamplesInterval
    population: PopulationBound
    training_value: float
    held_out_value: float
    """Held-out dual value, not divided by the certificate."""
    held_out: HeldOut
    potential: Potential


def judge(
    frozen: FrozenCritic, certificate: Certificate, pair: Pair, errors: ErrorBudget, *, name: str = "", margin: Margin = CLAIM
) -> Judgement:
    """Evaluates a frozen critic on all samples, and on the held-out ones that no choice depended on.

    Arguments:
        frozen: the critic, fixed before the held-out samples are looked at.
        certificate: of the same object, in the metric of the bounds.
        name: of the critic, which proves the lower bound.
        margin: left for rounding.
    """
    K = certificate.lipschitz_bound
    all_a, all_b = (_of_all(frozen, measure, sign=sign) for measure, sign in ((pair.a, 1), (pair.b, -1)))
    sides = ((pair.a, all_a), (pair.b, all_b))
    held_a, held_b = (part_of(frozen, measure.held_out, measure, whole) for measure, whole in sides)
    seen_a, seen_b = (part_of(frozen, measure.training_rows or measure.validation, measure, whole) for measure, whole in sides)
    rounding, held_out_value = (held_a.rounding + held_b.rounding) / K, dual_value(held_a, held_b)
    largest = 2 * max(held_a.rounding, held_b.rounding) / K
    range_a, range_b = (_widened(diameter, largest) for diameter in diameters(pair.a.info, pair.b.info, certificate.metric))
    held_out = HeldOut(
        a=held_a.values / K,
        b=held_b.values / K,
        rounding=rounding,
        ranges=(range_a, range_b),
        apart=_widened(union_diameter(pair, certificate.metric), rounding),
    )
    lower = lower_confidence_bound(
        held_out.a, held_out.b, alpha=errors.alpha, method=errors.method, ranges=held_out.ranges, apart=held_out.apart
    )
    return Judgement(
        samples=SamplesInterval(
            lower=lower_bound(all_a, all_b, K, margin=margin),
            n_a=pair.a.everything.count,
            n_b=pair.b.everything.count,
            lower_method=name,
        ),
        population=PopulationBound(
            estimate=held_out_value / K,
            lower=_claimed(lower, rounding, margin),
            confidence=errors.confidence,
            jointly_with=errors.bounds,
            method=errors.method,
            n_a=len(held_a.values),
            n_b=len(held_b.values),
        ),
        training_value=dual_value(seen_a, seen_b) / K,
        held_out_value=held_out_value,
        held_out=held_out,
        potential=_potential(frozen, K, pair, (all_a, all_b), certificate.metric),
    )


def _claimed(lower: float, rounding: float, margin: Margin) -> float:
    return max(0.0, (lower - margin.roundings * rounding) * (1 - margin.share))


def averages_folds(method: str) -> bool:
    """Whether one bound follows from the held-out values of all folds; otherwise each fold has its own."""
    return method == "welch"


def lower_over_folds(folds: Sequence[HeldOut], errors: ErrorBudget, *, margin: Margin = CLAIM) -> float:
    r"""A lower bound for the populations from the values of every sample, by critics of folds that did not see it.

    .. math:: \frac1K \sum_k D_k - t_{1 - \alpha, \nu}\, s, \qquad
              D_k = \bar f_k(A_k) - \bar f_k(B_k), \quad E(D_k \mid f_k) \le W_1

    Asymptotic; the standard error s is that of :func:`wdist.bounds.mean_difference.mean_difference`.
    """
    found = mean_difference([(each.a, each.b) for each in folds])
    lower = found.estimate - found.quantile(1 - errors.alpha) * found.standard_error
    return _claimed(lower, max(each.rounding for each in folds), margin)


def _potential(
    frozen: FrozenCritic,
    K: float,
    pair: Pair,
    potentials: tuple[Potentials | PotentialSummary, Potentials | PotentialSummary],
    metric: GroundMetric,
) -> Potential:
    """The critic as a function, with the samples that it tells apart most clearly."""
    of_b = potentials[1]
    mean_b = of_b.mean if isinstance(of_b, PotentialSummary) else float(of_b.values.mean())

    def kept(measure: Measure, found: Potentials | PotentialSummary, sign: int) -> Extremes:
        scores = (found.values - mean_b) / K
        if isinstance(found, PotentialSummary):
            return extremes_at(measure.everything, measure.info, found.rows, scores)
        return extremes(measure.everything, measure.info, scores, sign=sign)

    sides = pair.a.info, pair.b.info
    clearest = kept(pair.a, potentials[0], 1), kept(pair.b, potentials[1], -1)
    return Potential(frozen, lipschitz_bound=K, sides=sides, mean_b=mean_b, extremes=clearest, metric=metric)


def part_of(frozen: FrozenCritic, rows: ResidentRows, measure: Measure, whole: Potentials | PotentialSummary) -> Potentials:
    """Potentials of a part of the samples: looked up if all of them are in memory, otherwise evaluated."""
    if isinstance(whole, PotentialSummary):
        return evaluate_rows(frozen, rows)
    if rows is measure.everything:
        return whole
    if isinstance(measure.everything, ResidentRows) and rows.values is measure.everything.values and rows.index is not None:
        return Potentials(values=whole.values[rows.index.cpu().numpy()], rounding=whole.rounding)
    return evaluate_rows(frozen, rows)


def diameters(a: SourceInfo, b: SourceInfo, metric: GroundMetric = L2) -> tuple[float | None, float | None]:
    """Diameters of the two supports, where the type of the samples bounds them: a 1-Lipschitz function has no larger range."""
    of_a, of_b = (None if side.bounds is None else metric.diameter(*side.bounds, side.dim) for side in (a, b))
    return of_a, of_b


def _widened(diameter: float | None, rounding: float) -> float | None:
    """Range of the values as computed, from the range of a 1-Lipschitz function."""
    return None if diameter is None else diameter * (1 + 1e-12) + rounding


def union_diameter(pair: Pair, metric: GroundMetric) -> float | None:
    """Diameter of the union of the two supports, where the type of the samples bounds both."""
    if pair.a.info.bounds is None or pair.b.info.bounds is None:
        return None
    (low_a, high_a), (low_b, high_b) = pair.a.info.bounds, pair.b.info.bounds
    return metric.diameter(min(low_a, low_b), max(high_a, high_b), pair.a.info.dim)
