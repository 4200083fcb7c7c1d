"""Options of an estimate, validated once and shared by the library and the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, TypedDict

from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.errors import UsageError
from wdist.ground_metric import ground_metric
from wdist.training.budget import Budget

AUTO, DEFAULT, ALL, NONE = "auto", "default", "all", "none"
MOST_FOLDS = 20


class EstimateArguments(TypedDict, total=False):
    """Keyword arguments of :func:`wdist.estimate`, as users write them; documented in :class:`EstimateOptions`."""

    settings: CriticSettings | None
    budget: Budget | str | None
    steps: int | None
    critic: str
    critics: str | Sequence[str] | None
    baselines: str | Sequence[str]
    metric: str
    repeats: int
    folds: int | None
    confidence: float
    ci: str
    tolerance: float | None
    couplings: bool
    seed: int
    device: str
    access: Access | None
    features: Any


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """Validated options of one estimate."""

    settings: CriticSettings = CriticSettings()
    """Size and training of critics; whatever is left open follows from the shape of the data."""
    budget: Budget | None = None
    """Limit of the whole command, baselines and transport included; None for about a minute on two cores."""
    critic: str = AUTO
    """The critic that provides the population bounds: ``auto`` chooses among several kinds by their validation values."""
    critics: str | tuple[str, ...] | None = None
    """Critics to compare instead: ``default``, ``all`` or names; the one that proves most comes first."""
    baselines: str | tuple[str, ...] = DEFAULT
    """Critics shown beside the main one: ``none``, ``default``, ``all`` or names."""
    metric: str = "l2"
    """Ground metric: ``l2``, ``l1`` or ``linf``."""
    repeats: int = 1
    """Number of seeds that each critic is trained with, on the one split; the bounds are those of the first."""
    folds: int | None = None
    """Number of parts that the samples are divided into; each is held out from one training, and the best fold provides the lower
    bounds. None for one training that a sixth of the samples are held out from."""
    confidence: float = 0.95
    """Confidence that all population bounds of the result hold together."""
    ci: str = AUTO
    """Confidence bound: ``auto``, ``welch``, ``empirical-bernstein`` or ``betting``."""
    tolerance: float | None = None
    """Gap between the bounds for the samples, as a share of the upper one, at which the run may stop."""
    couplings: bool = True
    """Compute upper bounds; without them, more of the error is left for the lower bounds."""
    seed: int = 0
    """Seed of splits, draws, weights and minibatches."""
    device: str = AUTO
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    access: Access = Access()
    """Permissions for opening the sources."""
    features: Any = None
    """Space that distances are measured in: a function of a batch, ``module:function``, or
    ``resnet18?weights=FILE&layer=avgpool``; None for that of the samples."""

    def __post_init__(self) -> None:
        ground_metric(self.metric)
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"--confidence must be at least 0.5 and below 1, not {self.confidence:g}; 95 % is written 0.95")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise UsageError(f"--tol must lie between 0 and 1, not be {self.tolerance:g}; 2 % of the distance is written 0.02")
        if self.tolerance is not None and not self.couplings:
            raise UsageError("a tolerance closes the gap to an upper bound, which needs couplings; leave one of the two out")
        if self.seed < 0:
            raise UsageError(f"--seed must not be negative, but is {self.seed}")
        if self.repeats < 1:
            raise UsageError(f"--repeats must be at least 1, not {self.repeats}")
        if self.folds is not None and not 2 <= self.folds <= MOST_FOLDS:
            raise UsageError(f"--folds must be between 2 and {MOST_FOLDS}, not {self.folds}")
        if self.folds is not None and self.repeats > 1:
            raise UsageError("--folds trains on several splits and --repeats with several seeds on one; give one of them")
        if self.critics is not None and self.critic != AUTO:
            raise UsageError("--critic names the main critic and --critics lists several to compare; give one of them")
        if self.critics is not None and self.baselines != DEFAULT:
            raise UsageError("--critics lists all critics and --baselines those beside the main one; give one of them")
        if self.critics is not None:
            parts = [f"--{name}" for name in ("activation", "constraint") if getattr(self.settings, name) is not None]
            if parts:
                raise UsageError(
                    f"{' and '.join(parts)} describe one critic, and --critics names complete ones; leave either out, "
                    f"or name the others with --baselines"
                )

    @classmethod
    def validated(
        cls,
        *,
        settings: CriticSettings | None = None,
        budget: Budget | str | None = None,
        steps: int | None = None,
        critics: str | Sequence[str] | None = None,
        baselines: str | Sequence[str] = DEFAULT,
        access: Access | None = None,
        **others: Any,
    ) -> EstimateOptions:
        """Makes options from keyword arguments as users write them: names with commas, ``"2m"``, ``steps`` instead of a budget.

        Raises:
            UsageError: a value lies outside its range, or two options exclude each other.
        """
        unknown = others.keys() - {each.name for each in fields(cls)}
        if unknown:
            raise UsageError(
                f"unknown option {', '.join(sorted(unknown))}; the options are {', '.join(EstimateArguments.__annotations__)}"
            )
        return cls(
            settings=settings or CriticSettings(),
            budget=_budget(budget, steps),
            critics=None if critics is None else _names(critics, "--critics", (DEFAULT, ALL)),
            baselines=_names(baselines, "--baselines", (NONE, DEFAULT, ALL)),
            access=access or Access(),
            **others,
        )


def _budget(budget: Budget | str | None, steps: int | None) -> Budget | None:
    if budget is not None and steps is not None:
        raise UsageError("--steps and --budget both limit the run; give one of them")
    if steps is not None:
        return Budget(steps=steps)
    return Budget.parse(budget) if isinstance(budget, str) else budget


def _names(words: str | Sequence[str], option: str, keywords: tuple[str, ...]) -> str | tuple[str, ...]:
    """Returns a keyword as it is, anything else as a tuple of names."""
    if words in keywords:
        return str(words)
    names = tuple(name.strip() for name in (words.split(",") if isinstance(words, str) else words) if name.strip())
    if not names and option == "--baselines" and not isinstance(words, str):
        return NONE
    if not names:
        raise UsageError(f"{option} names no critic; write {', '.join(keywords)}, or names with commas")
    return names
