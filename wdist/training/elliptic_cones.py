"""Elliptic cones as a kind of critic: a few cones, trained by gradients of a soft minimum that hardens over time."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from wdist.critics.critic import Critic
from wdist.critics.elliptic_cones import EllipticConeCritic
from wdist.critics.settings import CriticSettings
from wdist.ground_metric import L2, GroundMetric
from wdist.training.budget import Budget
from wdist.training.envelopes import (
    EnvelopeKind,
    EnvelopeSearch,
    EnvelopeSpec,
    Initialisation,
    ResolvedEnvelope,
    TrainingSamples,
    first_centres,
)
from wdist.training.kind import CriticSpec, DataShape, TrainingJob, minibatch_sizes
from wdist.training.optimizers import Adam
from wdist.training.step import Ascent, TrainingStep

_CONES, _FEW, _BATCH_SIZE = 16, 4, 256
_NUMBERS = 1 << 22
"""Most entries of all matrices together."""
MOST_ELLIPTIC_DIM = 256
"""Largest dimension; beyond it, full matrices take too long."""
_RATE, _MATRIX_SHARE = 1e-2, 0.3
"""Adam's rate for the tips, and the rate for the matrices as a fraction of it."""
_WARM, _COLD = 0.05, 0.002
"""First and last width of the soft minimum, as fractions of the spread of the samples."""
_START_ROWS = 4096
_ROUNDS = 400
"""Most passes over the samples if these are few."""
_FLOPS_A_SECOND, _SECONDS, _MOST_STEPS = 1.0e11, 15.0, 4000


@dataclass(frozen=True, kw_only=True)
class EllipticConeKind(EnvelopeKind):
    """An envelope of elliptic cones."""

    validation_rows: ClassVar[int] = 4096  # an evaluation costs as much as that of a network
    averaged: ClassVar[bool] = True

    def resolve(self, settings: CriticSettings, shape: DataShape, metric: GroundMetric = L2) -> EnvelopeSpec:
        own = ResolvedEnvelope(
            centres=settings.centres or _usual(shape.dim),
            batch_size=settings.batch_size or _BATCH_SIZE,
            learning_rate=settings.learning_rate or _RATE,
            schedule=settings.schedule or "cosine",
            lipschitz=settings.lipschitz or 1.0,
        )
        seconds = _seconds_a_step(own, shape.dim)
        most = _MOST_STEPS if shape.samples is None else max(300, _ROUNDS * shape.samples // own.batch_size)
        steps = max(60, min(_MOST_STEPS, most, round(_SECONDS / seconds)))
        return CriticSpec(kind=self, settings=own, metric=metric, budget=Budget(steps=steps), seconds=steps * seconds)

    def training_samples(self, spec: EnvelopeSpec, job: TrainingJob) -> TrainingSamples:
        streams, sizes = (job.pair.a.train, job.pair.b.train), minibatch_sizes(spec.settings.batch_size, job.pair)

        def minibatch() -> tuple[Tensor, Tensor]:
            a, b = (job.standardised(stream.next(size)) for stream, size in zip(streams, sizes, strict=True))
            return a, b

        return TrainingSamples(minibatch=minibatch, samples=job.training(_START_ROWS), streams=streams)

    def alternatives(self, usual: Initialisation, spec: EnvelopeSpec, job: TrainingJob) -> tuple[Initialisation, ...]:
        """Fewer cones, unless the user has fixed the number."""
        return (Initialisation(count=_FEW),) if usual.count == _usual(job.pair.a.info.dim) > _FEW else ()

    def start(self, initialisation: Initialisation, search: EnvelopeSearch, sign: int) -> tuple[Critic, Ascent]:
        critic = EllipticConeCritic(first_centres(search.low(sign), initialisation.count, seed=search.job.seed), sign=sign)
        return critic, _Annealed(critic, rate=search.spec.settings.learning_rate)


class _Annealed:
    """Training steps on a soft minimum that hardens as the learning rate falls."""

    resumable = ("_step",)

    def __init__(self, critic: EllipticConeCritic, *, rate: float) -> None:
        groups = [{"params": [critic.points, critic.offsets]}, {"params": [critic.matrices], "lr": rate * _MATRIX_SHARE}]
        self._critic, self._step = critic, TrainingStep(critic, [Adam(groups, lr=rate)])

    def __call__(self, a: Tensor, b: Tensor, *, factor: float) -> Tensor:
        self._critic.temperature = _COLD * (_WARM / _COLD) ** factor
        return self._step(a, b, factor=factor)


def _usual(dim: int) -> int:
    """Number of cones that are affordable in this dimension."""
    return max(1, min(_CONES, _NUMBERS // dim**2))


def _seconds_a_step(settings: ResolvedEnvelope, dim: int) -> float:
    """Approximate duration of a step on two cores: three products of both sides, and eigenvalue problems in one step of eight."""
    numbers = settings.centres * dim * dim
    return (12 * settings.batch_size * numbers + 4 * numbers * dim) / _FLOPS_A_SECOND + 5e-4
