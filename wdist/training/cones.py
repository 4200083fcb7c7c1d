"""Cone critics as a kind: settings, starting points, and the fit by assignment steps in either orientation."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from wdist.critics.cones import ConeCritic
from wdist.critics.critic import Critic
from wdist.critics.settings import CriticSettings
from wdist.data.measure import Pool
from wdist.ground_metric import L2, GroundMetric
from wdist.training.budget import Budget
from wdist.training.cone_ascent import ConeAscent
from wdist.training.envelopes import (
    EnvelopeKind,
    EnvelopeSearch,
    EnvelopeSpec,
    Initialisation,
    ResolvedEnvelope,
    TrainingSamples,
    first_centres,
)
from wdist.training.kind import CriticSpec, DataShape, TrainingJob
from wdist.training.mixture import ROUNDS, mixture_means, operations
from wdist.training.step import Ascent

_CENTRES, _FEWEST, _SAMPLES_A_CONE = 512, 16, 25
_SMALLEST_BATCH, _LARGEST_BATCH, _BATCH_NUMBERS = 1 << 14, 1 << 16, 1 << 23
_RATE_A_DIRECTION, _SMALLEST_RATE, _LARGEST_RATE, _LARGEST_RATE_FROM_FILES = 1 / 128, 0.2, 1.0, 0.5
"""Learning rate, in mean distances of a sample from its centre for a unit of gradient, for each direction that carries variance.

In few directions, a large rate throws cones off the places they have found; in many, a small rate takes too many steps. Stored
samples need no rate above the last of these, because their cones start from mixtures."""
_LEAST_REACH, _WHOLE_REACH = 0.3, 8.0
"""First centres lie at least this far from the mean towards a sample; and on the sample up to this many dimensions."""
_MIXTURES = (16, 64, 256)
"""Numbers of cones that start from mixtures, beside the usual number that starts from samples."""
_REACHES = (0.5, 1.0, 1.5, 2.0, 2.5)
"""Distances of the tips from the mean, in those of the means of the mixture: mass has moved only a part of its way."""
_LEAST_MIXED, _MIXED_NUMBERS = 2048, 1 << 30
_MIXTURE_SHARE, _FEWEST_ROUNDS = 0.1, 2
"""Share of the budget for each mixture, and the fewest rounds."""
_MOST_STEPS, _FLOPS_A_SECOND, _SECONDS = 300, 1e11, 15.0


@dataclass(frozen=True, kw_only=True)
class ConeKind(EnvelopeKind):
    """An envelope of cones."""

    def resolve(self, settings: CriticSettings, shape: DataShape, metric: GroundMetric = L2) -> EnvelopeSpec:
        # In more dimensions the signal of a cell lies farther below the noise of its samples.
        batch = max(512, min(_LARGEST_BATCH, max(_SMALLEST_BATCH, 4096 * shape.dim), _BATCH_NUMBERS // shape.dim))
        own = ResolvedEnvelope(
            centres=settings.centres or _fed(shape),
            batch_size=settings.batch_size or batch,
            learning_rate=settings.learning_rate or _rate(shape),
            schedule=settings.schedule or "linear",
            lipschitz=settings.lipschitz or 1.0,
        )
        seconds = _seconds_a_step(own, shape)
        steps = max(60, min(_MOST_STEPS, round(_SECONDS / seconds)))
        return CriticSpec(kind=self, settings=own, metric=metric, budget=Budget(steps=steps), seconds=steps * seconds)

    def training_samples(self, spec: EnvelopeSpec, job: TrainingJob) -> TrainingSamples:
        a, b = (Pool(side, spec.settings.batch_size, job.standardised) for side in (job.pair.a, job.pair.b))
        streams = (a, b, job.pair.a.train, job.pair.b.train)
        return TrainingSamples(minibatch=lambda: (a.next(), b.next()), samples=(a.sample, b.sample), streams=streams)

    def alternatives(self, usual: Initialisation, spec: EnvelopeSpec, job: TrainingJob) -> tuple[Initialisation, ...]:
        """Starts from means of mixtures, of several sizes unless the user has fixed the number of cones."""
        if spec.metric != L2:
            return ()
        asked = usual.count != _fed(DataShape.of(job.pair))
        counts = [usual.count] if asked else [count for count in _MIXTURES if count < usual.count]
        return tuple(Initialisation(count=count, mixture=True) for count in counts)

    def settled(self, initialisation: Initialisation, search: EnvelopeSearch, sign: int) -> Initialisation:
        """For a mixture: as many rounds as there is time for, and the reach of the tips with the best validation value."""
        if not initialisation.mixture or initialisation.rounds:
            return initialisation
        count = initialisation.count
        expected = operations(_mixed(search.low(sign), count), count) / _FLOPS_A_SECOND
        rounds = max(_FEWEST_ROUNDS, min(ROUNDS, round(_MIXTURE_SHARE * _seconds(search) / expected)))
        means = _means(replace(initialisation, rounds=rounds), search, sign)
        reach = max(_REACHES, key=lambda reach: float(search.value(ConeCritic(reach * means, sign=sign))))
        return replace(initialisation, rounds=rounds, reach=reach)

    def start(self, initialisation: Initialisation, search: EnvelopeSearch, sign: int) -> tuple[Critic, Ascent]:
        """In many dimensions the tips of optimal cones lie far from all samples, and no sample is much nearer to a third than any
        other: the first centres are drawn towards the mean where many directions carry the variance."""
        job, spec, low = search.job, search.spec, search.low(sign)
        if initialisation.mixture:
            centres = initialisation.reach * _means(initialisation, search, sign)
        else:
            share = max(_LEAST_REACH, min(1.0, _WHOLE_REACH / job.pair.participation))
            centres = first_centres(low, initialisation.count, seed=job.seed, share=share)
        critic = ConeCritic(centres, sign=sign, metric=spec.metric)
        return critic, ConeAscent(critic, rate=spec.settings.learning_rate)


def _means(initialisation: Initialisation, search: EnvelopeSearch, sign: int) -> Tensor:
    """Means of a mixture of the low side, which is fitted once, shape (count, dim)."""
    count = initialisation.count
    if (count, sign) not in search.means:
        rows, generator = _mixed(search.low(sign), count), torch.Generator().manual_seed(search.job.seed)
        search.means[count, sign] = mixture_means(rows, count, generator, rounds=initialisation.rounds)
    return search.means[count, sign]


def _mixed(low: Tensor, count: int) -> Tensor:
    """The first samples, as many as there is time to fit a mixture of ``count`` components to."""
    return low.float()[: max(_LEAST_MIXED, _MIXED_NUMBERS // (2 * count * low.shape[1]))]


def _seconds(search: EnvelopeSearch) -> float:
    """Length of a budget, in expected seconds if it is one of steps, so that the digits do not depend on the machine."""
    budget = search.budget
    unit = 1.0 if budget.timed else _seconds_a_step(search.spec.settings, DataShape.of(search.job.pair))
    return unit * budget.amount


def _fed(shape: DataShape) -> int:
    """A cone learns from the samples that lie nearest to it: few samples feed few cones."""
    return _CENTRES if shape.samples is None else max(_FEWEST, min(_CENTRES, shape.samples // _SAMPLES_A_CONE))


def _rate(shape: DataShape) -> float:
    largest = _LARGEST_RATE if shape.samples is None else _LARGEST_RATE_FROM_FILES
    return min(largest, max(_SMALLEST_RATE, _RATE_A_DIRECTION * shape.participation))


def _seconds_a_step(settings: ResolvedEnvelope, shape: DataShape) -> float:
    batch = min(settings.batch_size, shape.samples or settings.batch_size)
    # For both sides: a matrix product, some passes over all distances, and some over all samples.
    return 2 * batch * (settings.centres * (2 * shape.dim + 300) + 20 * shape.dim) / _FLOPS_A_SECOND
