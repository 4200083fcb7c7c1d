"""``wdist.W1``: the distance between two distributions that arrive in batches, as a metric, a loss or a callback.

The loss is that of a Wasserstein GAN whose critic is 1-Lipschitz by construction, so it can be frozen and certified at any time,
and evaluated on batches that it was not trained on.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875.
    Vitter (1985), Random sampling with a reservoir (algorithm R).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Unpack

import numpy as np
import torch
from torch import Tensor, nn

from wdist.arguments import accepted
from wdist.bounds.certificate import certify
from wdist.bounds.confidence import lower_confidence_bound
from wdist.bounds.dual import CLAIM, evaluate
from wdist.critics.critic import Critic
from wdist.data.standardisation import Standardisation
from wdist.errors import UsageError
from wdist.estimation.options import AUTO, NONE, EstimateArguments, EstimateOptions
from wdist.estimation.result import Estimate
from wdist.ground_metric import ground_metric
from wdist.python.functions import estimate
from wdist.report.numbers import level, lower_bound, nearest
from wdist.training.catalogue import CATALOGUE, main_network
from wdist.training.kind import DataShape
from wdist.training.networks import NetworkKind
from wdist.training.optimizers import make_optimizers
from wdist.training.step import TrainingStep

MOST, CRITIC_STEPS, SECONDS = 10_000, 2, 10.0
_FEWEST = 30
"""Fewest samples of each side for a normal approximation of their mean."""
_EVALUATED = 1 << 18
"""Coordinates evaluated at a time."""


@dataclass(frozen=True, kw_only=True)
class MetricBound:
    """Certified lower bound for W1 between the two distributions that samples came from."""

    lower: float
    """Lower confidence bound for W1, in the units of the data."""
    estimate: float
    """Mean difference of the potentials, divided by the certificate; its expectation is a lower bound."""
    confidence: float
    """Confidence of this bound alone; several bounds do not hold together at that level."""
    lipschitz_bound: float
    """The certificate of the critic."""
    n_a: int
    n_b: int
    step: int | None = None
    """Step of the training; None outside of a callback."""

    def __str__(self) -> str:
        at = "" if self.step is None else f"step {self.step}: "
        return f"{at}W1 >= {lower_bound(self.lower)} at {level(self.confidence)}, estimate {nearest(self.estimate)}"


class W1(nn.Module):
    """A certified lower bound for W1 between two distributions that arrive in batches.

    - As a metric: call :meth:`update` with batches of both sides, then :meth:`compute` the bound; :meth:`reset` starts afresh.
    - As a loss: ``loss = w1(real, fake)`` trains a critic and returns the difference of its mean potentials, which a generator
      minimises. :meth:`compute` then evaluates this critic, without further training; otherwise it runs an estimate.
    - As a callback: ``report = w1.every(100, real, fake)``, then ``report(step)`` in the training loop.

    The bound holds at ``confidence`` if the samples given to :meth:`update` are independent and no loss was computed from them.

    Arguments:
        critic_steps: steps of the critic for each loss.
        most: largest number of samples kept of each side, a random choice from all since :meth:`reset`.
        arguments: options of :func:`wdist.estimate`; without a budget, an estimate takes about ten seconds.

    Raises:
        WdistError: an option is wrong.
    """

    def __init__(self, *, critic_steps: int = CRITIC_STEPS, most: int = MOST, **arguments: Unpack[EstimateArguments]) -> None:
        super().__init__()
        self._critic_steps = _positive("critic_steps", critic_steps)
        self._most = _positive("most", most, at_least=2 * _FEWEST)
        self._options = EstimateOptions.validated(**arguments)
        if arguments.get("budget") is None and arguments.get("steps") is None:
            arguments["budget"] = SECONDS
        if arguments.get("critics") is None:
            arguments.setdefault("baselines", NONE)
        self._arguments = arguments
        self._critic: Critic | None = None
        self._ascend: TrainingStep | None = None
        self._standardisation: Standardisation | None = None
        self._event_shape: tuple[int, ...] | None = None
        self.result: Estimate | MetricBound | None = None
        """Result of the last :meth:`compute`: a bound by the critic of the loss, or an estimate."""
        self.reset()

    @property
    def trained(self) -> bool:
        """Whether a loss has trained a critic."""
        return self._critic is not None

    def forward(self, real: Tensor, fake: Tensor) -> Tensor:
        """The loss: mean potential of ``real`` minus that of ``fake``, in the units of the data, with gradients for both.

        In training mode the critic takes its steps first, on the same batches. It is about 1-Lipschitz; only :meth:`compute`
        proves a bound.

        Arguments:
            real, fake: batches of any sizes, floating point, on one device; the first axis counts the samples.

        Raises:
            WdistError: the batches are not samples of one shape.
        """
        a, b = self._batch(real, "real"), self._batch(fake, "fake")
        if self._critic is None:
            self._build(a.detach(), b.detach())
        assert self._critic is not None
        assert self._ascend is not None
        assert self._standardisation is not None
        a, b = (self._standardisation.apply(side.float()) for side in (a, b))
        if self.training:
            with torch.enable_grad():
                for _ in range(self._critic_steps):
                    self._ascend(a.detach(), b.detach(), factor=1.0)
        self._critic.requires_grad_(False)  # gradients of the loss are for the batches only
        potentials = self._critic(torch.cat([a, b]))
        self._critic.requires_grad_(True)
        difference: Tensor = potentials[: len(a)].mean() - potentials[len(a) :].mean()
        return difference * self._standardisation.spread

    def update(self, real: Any, fake: Any) -> None:
        """Keeps samples of both sides for :meth:`compute`, at most ``most`` of each.

        Raises:
            WdistError: the batches are not samples of one shape.
        """
        for kept, batch, name in zip(self._kept, (real, fake), ("real", "fake"), strict=True):
            kept.add(self._batch(torch.as_tensor(batch), name).detach().cpu())

    def compute(self) -> Tensor:
        """The lower confidence bound for W1 between the two distributions, a float64 scalar; :attr:`result` holds the details.

        Raises:
            WdistError: too few samples were given.
        """
        fewest = min(kept.count for kept in self._kept)
        if fewest < _FEWEST:
            raise UsageError(f"compute needs at least {_FEWEST} samples of each side, not {fewest}; call update with more")
        a, b = (kept.values for kept in self._kept)
        self.result = self._judged(a, b) if self.trained else self._estimated(a, b)
        lower = self.result.lower if isinstance(self.result, MetricBound) else self.result.population.lower
        return torch.tensor(lower, dtype=torch.float64)

    def reset(self) -> None:
        """Forgets all samples; the critic of the loss stays and keeps learning."""
        self._kept = tuple(_Reservoir(self._most, seed=2 * self._options.seed + side) for side in (0, 1))

    def every(self, steps: int, real: Callable[[], Any], fake: Callable[[], Any], *, samples: int = 1000) -> "Callback":
        """A callback that computes the bound at regular intervals, from fresh samples.

        Arguments:
            steps: number of steps between two bounds.
            real, fake: return a batch that no loss was computed from, such as validation data and new draws of the generator;
                called until there are enough samples.
            samples: number of samples of each side for one bound.
        """
        return Callback(self, _positive("steps", steps), real, fake, samples=_positive("samples", samples, at_least=_FEWEST))

    def _batch(self, batch: Any, name: str) -> Tensor:
        """A batch as a tensor of shape (n, dim)."""
        if not isinstance(batch, Tensor) or batch.ndim < 1 or not len(batch):
            raise UsageError(f"{name} must be a tensor with at least one sample; the first axis counts the samples")
        shape = tuple(batch.shape[1:])
        if self._event_shape is None:
            self._event_shape = shape
        if shape != self._event_shape:
            raise UsageError(f"{name} has samples of shape {shape}, but earlier ones have {self._event_shape}; give one shape")
        if not batch.is_floating_point():
            batch = batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
        return batch.reshape(len(batch), -1)

    def _build(self, a: Tensor, b: Tensor) -> None:
        """Makes the critic for samples like these."""
        assert self._event_shape is not None
        shape = DataShape.unseen(self._event_shape)
        kind = self._network_kind()
        spec = kind.resolve(self._options.settings, shape, ground_metric(self._options.metric))
        self._critic = kind.build(spec, shape, torch.Generator().manual_seed(self._options.seed)).to(a.device)
        optimizers = make_optimizers(self._critic, name=spec.settings.optimizer, learning_rate=spec.settings.learning_rate)
        self._ascend = TrainingStep(self._critic, optimizers)
        self._standardisation = Standardisation.fit(a.double().cpu(), b.double().cpu()).to(a.device)

    def _network_kind(self) -> NetworkKind:
        options = self._options
        kind = main_network(ground_metric(options.metric)) if options.critic == AUTO else CATALOGUE.get(options.critic)
        if not isinstance(kind, NetworkKind) or not kind.bound_by_construction:
            networks = [name for name, each in CATALOGUE.items() if isinstance(each, NetworkKind) and each.bound_by_construction]
            raise UsageError(f"critic {options.critic!r} cannot be a loss; choose one of {', '.join(networks)}")
        return kind.assembled(options.settings)

    def _judged(self, a: Tensor, b: Tensor) -> MetricBound:
        """The bound that the critic of the loss proves from samples that it was not trained on."""
        assert self._critic is not None
        assert self._standardisation is not None
        self._critic.constrain_(tightly=True)
        frozen = self._critic.freeze(self._standardisation.to(torch.device("cpu")))
        K = certify(frozen, ground_metric(self._options.metric)).lipschitz_bound
        found = [evaluate(frozen, side.split(max(1, _EVALUATED // side.shape[1]))) for side in (a, b)]
        values = [side.values / K for side in found]
        alpha = 1 - self._options.confidence
        lower = lower_confidence_bound(values[0], values[1], alpha=alpha, method="welch", ranges=(None, None))
        rounding = CLAIM.roundings * sum(side.rounding for side in found) / K
        return MetricBound(
            lower=max(0.0, (lower - rounding) * (1 - CLAIM.share)),
            estimate=float(values[0].mean() - values[1].mean()),
            confidence=self._options.confidence,
            lipschitz_bound=K,
            n_a=len(a),
            n_b=len(b),
        )

    def _estimated(self, a: Tensor, b: Tensor) -> Estimate:
        """An estimate, which trains a critic on one part of the samples and holds out the rest."""
        shape = self._event_shape or ()
        real, fake = (side.reshape(-1, *shape) for side in (a, b))
        return estimate(real, fake, progress=False, **self._arguments)


class Callback:
    """Computes the bound of a :class:`W1` at regular intervals of a training loop, and keeps all bounds."""

    def __init__(self, metric: W1, steps: int, real: Callable[[], Any], fake: Callable[[], Any], *, samples: int) -> None:
        self._metric, self._steps, self._sides, self._samples = metric, steps, (real, fake), samples
        self.history: list[MetricBound] = []
        """The bounds so far."""

    def __call__(self, step: int) -> MetricBound | None:
        """The bound at a step that is a multiple of ``steps``; None at others."""
        if step % self._steps:
            return None
        metric = self._metric
        metric.reset()
        with torch.no_grad():
            while min(kept.count for kept in metric._kept) < self._samples:
                metric.update(*(side() for side in self._sides))
        metric.compute()
        self.history.append(_at_step(metric.result, step))
        return self.history[-1]


def _at_step(result: Estimate | MetricBound | None, step: int) -> MetricBound:
    assert result is not None
    if isinstance(result, MetricBound):
        return replace(result, step=step)
    facts = {name: getattr(result.population, name) for name in ("lower", "estimate", "confidence", "n_a", "n_b")}
    return MetricBound(step=step, lipschitz_bound=result.critic.lipschitz_bound, **facts)


class _Reservoir:
    """A uniform random sample, of at most a given size, of all rows that were added."""

    def __init__(self, most: int, *, seed: int) -> None:
        self._most, self._random = most, np.random.default_rng([seed, most])
        self._rows: Tensor | None = None
        self._seen = 0

    @property
    def count(self) -> int:
        """Rows kept."""
        return min(self._seen, self._most)

    @property
    def values(self) -> Tensor:
        """The rows kept, shape (n, dim)."""
        assert self._rows is not None, "rows were added"
        return self._rows[: self.count]

    def add(self, rows: Tensor) -> None:
        """Offers rows of shape (n, dim)."""
        if self._rows is None:
            self._rows = rows.new_empty(0, rows.shape[1])
        free = max(0, self._most - self._seen)
        self._rows = torch.cat([self._rows, rows[:free].to(self._rows)])
        self._seen += min(free, len(rows))
        for row in rows[free:]:
            self._seen += 1
            place = int(self._random.integers(self._seen))
            if place < self._most:
                self._rows[place] = row


def _positive(name: str, value: Any, *, at_least: int = 1) -> int:
    number: int = accepted(name, value, int)
    if number < at_least:
        raise UsageError(f"{name} must be at least {at_least}, not {number}")
    return number
