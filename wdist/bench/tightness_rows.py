"""What is measured of one pair or of two finite sets: an estimate a seed, and what it is held against."""

from dataclasses import dataclass
from statistics import median

from wdist.bench.bench import half_range

AIMED_SECONDS = 120.0
"""Training time of a pair that the aims are stated for."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One estimate, with one seed."""

    seed: int
    critic: str
    """That which was chosen."""
    fresh: float
    """Of a known pair: tightness. Of finite sets: mean difference on fresh samples, else on the held-out split."""
    held_out: float
    """The held-out estimate, as a user sees it."""
    samples_lower: float
    samples_upper: float | None
    exact: bool
    population_lower: float
    population_upper: float | None
    certificate: float
    steps: int
    seconds: float
    """All in all: sources, training, certificate, evaluation, coupling."""

    @property
    def gap(self) -> float | None:
        """Of the samples interval, as a share of its upper end."""
        return None if not self.samples_upper else 1 - self.samples_lower / self.samples_upper


@dataclass(frozen=True, kw_only=True)
class Runs:
    """One row: the same estimate with several seeds."""

    name: str
    samples: int | None
    """Of each side, the smaller one; None where they are drawn without end."""
    dim: int
    budget_seconds: float | None
    runs: tuple[Run, ...]
    course: tuple[tuple[float, float], ...]
    """Of the first seed: seconds of training so far, and the best validation value so far, over the truth where it is known."""

    @property
    def fresh(self) -> float:
        """Median over seeds."""
        return median(run.fresh for run in self.runs)

    @property
    def spread(self) -> float | None:
        """Half the range over seeds; None for a single one."""
        values = [run.fresh for run in self.runs]
        return half_range(values)

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def critics(self) -> str:
        """Names of those that were chosen, the most frequent first."""
        names = [run.critic for run in self.runs]
        return ", ".join(sorted(set(names), key=lambda name: (-names.count(name), name)))

    @property
    def middle(self) -> Run:
        """The seed in the middle by tightness, whose interval is shown."""
        return sorted(self.runs, key=lambda run: run.fresh)[len(self.runs) // 2]

    @property
    def aimed(self) -> bool:
        """Whether the training had the time that the aims are stated for."""
        return self.budget_seconds is not None and self.budget_seconds >= AIMED_SECONDS


@dataclass(frozen=True, kw_only=True)
class KnownRow(Runs):
    """A pair whose W1 is known."""

    family: str
    truth: float
    truth_error: float
    """Standard error of the truth; 0 where it is a closed form."""
    published: float | None
    aim: float | None
    linear: float
    """Tightness of the linear critic that follows from the same samples."""
    single_cone: float
    minibatch: float
    """Mean exact W1 of minibatches, over the truth: not a bound."""
    sinkhorn: float
    """Sinkhorn divergence over the truth: not a bound."""


@dataclass(frozen=True, kw_only=True)
class FiniteRow(Runs):
    """Two finite sets."""

    judged_on: str
    """``fresh samples`` or ``held-out split``."""
    aim: float | None
    minibatch: float
    sinkhorn: float
