"""Words of the user that become arguments of the library, checked before anything slow is imported."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from wdist.cli import options as opt
from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError
from wdist.training.budget import Budget

if TYPE_CHECKING:
    from wdist.data.access import Access
    from wdist.estimation.result import Estimate
    from wdist.training.observer import Observer


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of an estimation, whichever its two sources."""

    steps: opt.Steps = None
    budget: opt.BudgetOption = None
    seed: opt.Seed = 0
    repeats: opt.Repeats = 1
    device: opt.Device = "auto"
    batch_size: opt.BatchSize = None
    optimizer: opt.Optimizer = None
    learning_rate: opt.LearningRate = None
    schedule: opt.Schedule = None
    width: opt.Width = None
    depth: opt.Depth = None
    activation: opt.Activation = None
    group_size: opt.GroupSize = None
    constraint: opt.Constraint = None
    bjorck_order: opt.BjorckOrder = None
    bjorck_iterations: opt.BjorckIterations = None
    beta: opt.Beta = None
    centres: opt.Centres = None
    lipschitz: opt.Lipschitz = None
    metric: opt.Metric = "l2"
    critic: opt.Critic = "auto"
    critics: opt.Critics = None
    baselines: opt.Baselines = "default"
    confidence: opt.Confidence = 0.95
    ci: opt.ConfidenceMethod = "auto"
    tol: opt.Tolerance = None
    features: opt.Features = None

    def __post_init__(self) -> None:
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"--confidence must be at least 0.5 and below 1, not {self.confidence:g}; 95 % is written 0.95")
        if self.tol is not None and not 0 < self.tol < 1:
            raise UsageError(f"--tol must lie between 0 and 1, not be {self.tol:g}; 2 % of the distance is written 0.02")
        if self.critics is not None and self.baselines != "default":
            raise UsageError("--critics names all critics and --baselines those beside the main one; give one of them")
        # Each refuses what makes no sense when it is made.
        _ = self._limit, self._settings, self._names(self.critics, "--critics"), self._names(self.baselines, "--baselines")

    def estimate(self, a: Any, b: Any, *, observer: Observer, **facts: Any) -> Estimate:
        """The one call of the library.

        Arguments:
            a, b: as for :func:`wdist.estimation.estimate.estimate`.
            observer: is told how far the work is.
            facts: further arguments of the same function, which no option decides.
        """
        from wdist.estimation.estimate import estimate

        return estimate(a, b, **self.arguments, observer=observer, **facts)

    @property
    def arguments(self) -> dict[str, Any]:
        """Those of :func:`wdist.estimation.estimate.estimate` that options decide."""
        return {
            "settings": self._settings,
            "budget": self._limit,
            "critic": self.critic,
            "critics": self._names(self.critics, "--critics"),
            "baselines": self._names(self.baselines, "--baselines") or "default",
            "metric": self.metric,
            "repeats": self.repeats,
            "confidence": self.confidence,
            "ci": self.ci,
            "tolerance": self.tol,
            "seed": self.seed,
            "device": self.device,
            "features": self.features,
        }

    @property
    def _limit(self) -> Budget | None:
        if self.steps is not None and self.budget is not None:
            raise UsageError("--steps and --budget both limit the training; give one of them")
        if self.budget is not None:
            return Budget.parse(self.budget)
        return None if self.steps is None else Budget(steps=self.steps)

    @property
    def _settings(self) -> CriticSettings:
        return CriticSettings(**{each.name: getattr(self, each.name) for each in fields(CriticSettings)})

    @staticmethod
    def _names(words: str | None, option: str) -> str | list[str] | None:
        """``none``, ``default`` or ``all`` as they are, anything else as the list of names that commas separate."""
        if words is None or words in ("default", "all") or (words == "none" and option == "--baselines"):
            return words
        names = [name.strip() for name in words.split(",") if name.strip()]
        if not names:
            all_of_them = "none, default, all" if option == "--baselines" else "default, all"
            raise UsageError(f"{option} names no critic; write {all_of_them}, or names with commas")
        return names


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """What opening a source may do."""

    drop_nonfinite: opt.DropNonfinite = False
    download: opt.Download = False
    trust: opt.Trust = False

    def access(self) -> Access:
        """The same for the library."""
        from wdist.data.access import Access

        return Access(trust=self.trust, download=self.download, drop_nonfinite=self.drop_nonfinite)
