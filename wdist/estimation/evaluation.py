"""Evaluation of frozen critics: bounds for the samples, and bounds for the populations from held-out samples."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

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
from wdist.data.rows import ResidentRows, Rows, StreamedRows, gather
from wdist.data.sources.source import SourceInfo
from wdist.distributed.processes import processes
from wdist.estimation.potential import Extremes, Potential, extremes, witnesses_kept
from wdist.estimation.result import Attempt, CriticResult, HeldOut, PopulationBound, SamplesInterval
from wdist.ground_metric import L2, GroundMetric
from wdist.training.kind import TrainedCritic

_SEARCHED_ROWS = 512
"""Samples of each side from which the search for the largest slope starts."""
_TIMED_ROWS, _TIMED_NUMBERS = 4096, 1 << 22
"""Largest number of samples of each side, and of their coordinates, on which a pass over all samples is timed."""
Whole: TypeAlias = tuple[Potentials | PotentialSummary, Potentials | PotentialSummary]
"""Potentials of all samples of A and of B."""
_BATCH_NUMBERS = 1 << 18
"""Coordinates evaluated at a time: 2 MB in float64, which fits into the cache of one core."""


@dataclass(frozen=True, kw_only=True)
class ErrorBudget:
    """Confidence level shared by all population bounds of a result."""

    confidence: float
    method: str
    """Name of the lower confidence bound: a key of :data:`wdist.bounds.confidence.METHODS`."""
    lower_bounds: int = 1
    """Number of lower bounds stated: one per critic, or one per fold of each critic if the folds are not averaged."""
    upper_bound: bool = False
    """Whether an upper bound is stated as well."""
    compared: int = 1
    """Number of critics among which the held-out samples choose the main one."""

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
    whole: Whole | None = None,
    held_out_only: bool = False,
) -> CriticResult:
    """Certifies a trained critic, and evaluates it on the held-out samples and, unless ``whole`` is given, on all samples.

    Arguments:
        trained: the critic, fixed before the held-out samples are looked at.
        metric: of the bounds.
        seed: of the search for the largest slope, which is run for critics without a constraint.
        tried: candidates that the critic was chosen from.
        margin: left for rounding.
        whole: its potentials of all samples, as for :func:`judge`.
        held_out_only: skips the pass over all samples; the lower bound for them is then 0.

    Raises:
        CertificateError: its Lipschitz constant cannot be bounded.
    """
    certificate = certify(trained.critic, metric)
    part = _held_out_of(pair) if held_out_only else pair
    judged = judge(trained.critic, certificate, part, errors, name=trained.name, margin=margin, whole=whole)
    samples = judged.samples
    if held_out_only:
        samples = replace(samples, lower=0.0, n_a=pair.a.everything.count, n_b=pair.b.everything.count)
    outcome, unbounded = trained.outcome, not trained.bound_by_construction
    return CriticResult(
        name=trained.name,
        title=trained.title,
        samples=samples,
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
        rise=outcome.rise / certificate.lipschitz_bound,
        frozen=trained.critic,
        interrupted=outcome.interrupted,
        bound_by_construction=trained.bound_by_construction,
        held_out=judged.held_out,
        potential=judged.potential,
        raw_value=judged.held_out_value / trained.critic.lipschitz if unbounded else None,
        largest_slope=_largest_slope(trained.critic, pair, metric, seed) if unbounded else None,
        tried=tried,
    )


def _held_out_of(pair: Pair) -> Pair:
    """The pair of the held-out samples alone."""
    a, b = (replace(side, everything=side.held_out) for side in (pair.a, pair.b))
    return replace(pair, a=a, b=b)


def evaluate_rows(critic: FrozenCritic, rows: Rows) -> Potentials:
    """Potentials of all ``rows``, in batches that suit the critic; processes divide the batches, with bitwise identical results."""
    tasks = [partial(evaluate, critic, batches) for batches in _shares(critic.dim, rows)]
    found = processes().spread("potentials", tasks)
    if len(found) == 1:
        return found[0]
    return Potentials(values=np.concatenate([each.values for each in found]), rounding=max(each.rounding for each in found))


def _shares(dim: int, rows: Rows) -> list[Iterator[Tensor]]:
    """Batches that suit a critic, one share for each process; they are read lazily."""
    size = max(1, _BATCH_NUMBERS // max(dim, 256))
    if processes().size == 1:
        return [rows.batches(size)]
    shares = np.array_split(np.arange(0, rows.count, size), processes().size)
    return [(rows.span(start, min(start + size, rows.count), None) for start in share.tolist()) for share in shares]


def evaluate_all(
    critics: Sequence[FrozenCritic], pair: Pair, *, progress: Callable[[float], None] = lambda fraction: None
) -> list[Whole]:
    """Potentials of all samples of A and of B by each critic, in one pass over each side; for a stream, summaries of them.

    ``progress`` receives the fraction of the samples done so far.
    """
    n, m = pair.a.everything.count, pair.b.everything.count
    a = _of_all(critics, pair.a, sign=1, progress=lambda share: progress(share * n / (n + m)))
    b = _of_all(critics, pair.b, sign=-1, progress=lambda share: progress((n + share * m) / (n + m)))
    return list(zip(a, b, strict=True))


def _of_all(
    critics: Sequence[FrozenCritic], measure: Measure, *, sign: int, progress: Callable[[float], None]
) -> list[Potentials] | list[PotentialSummary]:
    """Potentials of all samples; for a stream, their mean and the samples with the highest ``sign`` times the potential."""
    rows = measure.everything
    if isinstance(rows, ResidentRows):
        return [evaluate_rows(critic, rows) for critic in critics]
    most = witnesses_kept(measure.info)
    shares = [_with_progress(share, rows.count / processes().size, progress) for share in _shares(measure.info.dim, rows)]
    tasks = [partial(summarise, critics, share, sign=sign, most=most) for share in shares]
    found = processes().spread("potentials of a stream", tasks)
    return [summarised_together(parts, sign=sign, most=most) for parts in zip(*found, strict=True)]


def seconds_of_pass(critics: Sequence[FrozenCritic], pair: Pair) -> tuple[float, list[float]]:
    """Predicts the time of a pass over all samples from a few of them: seconds for reading, and seconds that each critic adds."""
    added = [0.0] * len(critics)
    for side in (pair.a, pair.b):
        some = gather(side.held_out, max(1, min(_TIMED_ROWS, _TIMED_NUMBERS // side.info.dim)))
        for number, critic in enumerate(critics):
            begun = time.perf_counter()
            evaluate(critic, some.split(max(1, _BATCH_NUMBERS // max(critic.dim, 256))))
            added[number] += (time.perf_counter() - begun) * side.everything.count / len(some) / processes().size
    return reading_seconds(pair) / processes().size, added


def reading_seconds(pair: Pair) -> float:
    """Predicts from a few samples how long this process takes to read all samples of both sides."""
    seconds = 0.0
    for rows in (pair.a.everything, pair.b.everything):
        at_once = rows.at_once if isinstance(rows, StreamedRows) else _TIMED_ROWS
        first = min(at_once, rows.count // 2)
        rows.span(0, first, None)  # opens the file; after this it is read in order, as a pass does
        begun = time.perf_counter()
        read = len(rows.span(first, min(first + at_once, rows.count), None))
        seconds += (time.perf_counter() - begun) * rows.count / read
    return seconds


def _with_progress(batches: Iterator[Tensor], count: float, progress: Callable[[float], None]) -> Iterator[Tensor]:
    done = 0
    for batch in batches:
        yield batch
        done += len(batch)
        progress(done / count)


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
    frozen: FrozenCritic,
    certificate: Certificate,
    pair: Pair,
    errors: ErrorBudget,
    *,
    name: str = "",
    margin: Margin = CLAIM,
    whole: Whole | None = None,
) -> Judgement:
    """Evaluates a frozen critic on the held-out samples, which no choice depended on, and on all samples.

    Arguments:
        frozen: the critic, fixed before the held-out samples are looked at.
        certificate: of the same object, in the metric of the bounds.
        name: of the critic, as the method of the lower bound.
        margin: left for rounding.
        whole: its potentials of all samples, if already known (:func:`evaluate_all`).
    """
    K = certificate.lipschitz_bound
    all_a, all_b = whole or evaluate_all([frozen], pair)[0]
    sides = ((pair.a, all_a), (pair.b, all_b))
    held_a, held_b = (part_of(frozen, measure.held_out, measure, found) for measure, found in sides)
    seen_a, seen_b = (part_of(frozen, measure.training_rows or measure.validation, measure, found) for measure, found in sides)
    held_out_value, held_out = dual_value(held_a, held_b), _held_out(held_a, held_b, pair, certificate)
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
            lower=_with_margin(lower, held_out.rounding, margin),
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


def _held_out(a: Potentials, b: Potentials, pair: Pair, certificate: Certificate) -> HeldOut:
    """Values divided by the certificate, with the ranges that the supports imply, rounding included."""
    K, metric = certificate.lipschitz_bound, certificate.metric
    rounding, largest = (a.rounding + b.rounding) / K, 2 * max(a.rounding, b.rounding) / K
    range_a, range_b = (_widened(diameter, largest) for diameter in diameters(pair.a.info, pair.b.info, metric))
    apart = _widened(union_diameter(pair, metric), rounding)
    return HeldOut(a=a.values / K, b=b.values / K, rounding=rounding, ranges=(range_a, range_b), apart=apart)


def _with_margin(lower: float, rounding: float, margin: Margin) -> float:
    return max(0.0, (lower - margin.roundings * rounding) * (1 - margin.share))


def averages_folds(method: str) -> bool:
    """Whether a single bound uses the held-out values of all folds; otherwise each fold has its own bound."""
    return method == "welch"


def lower_over_folds(folds: Sequence[HeldOut], errors: ErrorBudget, *, margin: Margin = CLAIM) -> float:
    r"""Lower bound for the populations from the values of all samples, each evaluated by the critic of the fold that held it out.

    .. math:: \frac1K \sum_k D_k - t_{1 - \alpha, \nu}\, s, \qquad
              D_k = \bar f_k(A_k) - \bar f_k(B_k), \quad E(D_k \mid f_k) \le W_1

    Asymptotic; the standard error s is that of :func:`wdist.bounds.mean_difference.mean_difference`.
    """
    lower = mean_difference([(each.a, each.b) for each in folds]).lower(errors.alpha)
    return _with_margin(lower, max(each.rounding for each in folds), margin)


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
            samples = found.samples.reshape(-1, *measure.info.event_shape)
            return Extremes(samples=samples, rows=found.rows, scores=scores)
        assert isinstance(measure.everything, ResidentRows), "streams have summaries"
        clearest = extremes(measure.everything, measure.info, scores, sign=sign)
        part = measure.held_out_numbers if measure.everything is measure.held_out else None
        return clearest if part is None else replace(clearest, rows=part[clearest.rows])

    sides = pair.a.info, pair.b.info
    clearest = kept(pair.a, potentials[0], 1), kept(pair.b, potentials[1], -1)
    return Potential(frozen, lipschitz_bound=K, sides=sides, mean_b=mean_b, extremes=clearest, metric=metric)


def part_of(frozen: FrozenCritic, rows: ResidentRows, measure: Measure, whole: Potentials | PotentialSummary) -> Potentials:
    """Potentials of a part of the samples: looked up if all samples are in memory, otherwise evaluated."""
    if isinstance(whole, PotentialSummary):
        return evaluate_rows(frozen, rows)
    if rows is measure.everything:
        return whole
    all_rows = measure.everything
    known = isinstance(all_rows, ResidentRows) and all_rows.index is None and rows.values is all_rows.values
    if known and rows.index is not None:
        return Potentials(values=whole.values[rows.index.cpu().numpy()], rounding=whole.rounding)
    return evaluate_rows(frozen, rows)


def diameters(a: SourceInfo, b: SourceInfo, metric: GroundMetric = L2) -> tuple[float | None, float | None]:
    """Diameters of the two supports if the type of the samples bounds them: no 1-Lipschitz function has a larger range."""
    of_a, of_b = (None if side.bounds is None else metric.diameter(*side.bounds, side.dim) for side in (a, b))
    return of_a, of_b


def _widened(diameter: float | None, rounding: float) -> float | None:
    """Range of the values as computed, from the range of a 1-Lipschitz function."""
    return None if diameter is None else diameter * (1 + 1e-12) + rounding


def union_diameter(pair: Pair, metric: GroundMetric) -> float | None:
    """Diameter of the union of the two supports if the type of the samples bounds both, otherwise None."""
    if pair.a.info.bounds is None or pair.b.info.bounds is None:
        return None
    (low_a, high_a), (low_b, high_b) = pair.a.info.bounds, pair.b.info.bounds
    return metric.diameter(min(low_a, low_b), max(high_a, high_b), pair.a.info.dim)
