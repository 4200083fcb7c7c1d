"""Options of an estimate, validated once and shared by the library and the command line."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypedDict, TypeVar

from wdist.arguments import accepted, check_fields, shown, unknown_keyword
from wdist.critics.settings import LARGEST_LIPSCHITZ, LEAST_LIPSCHITZ, CriticSettings
from wdist.data.access import Access
from wdist.errors import UsageError
from wdist.ground_metric import ground_metric
from wdist.training.budget import Budget

AUTO, DEFAULT, ALL, NONE = "auto", "default", "all", "none"
KL = "kl"
DIVERGENCES = (KL,)
"""Divergences with a Lipschitz critic, besides W1."""
MOST_FOLDS = 20
FEWEST_DRAWS, MOST_DRAWS = 100, 10_000_000
LARGEST_BLOCK = 4096
"""Largest block between which exact transport still takes only seconds."""
LARGEST_SEED = 2**53 - 1
"""Every JSON reader represents integers up to this one exactly, and it leaves room for the seeds derived from a given one."""

_Group = TypeVar("_Group", Access, CriticSettings)


class EstimateArguments(TypedDict, total=False):
    """Keyword arguments of :func:`wdist.estimate`, as users write them; documented in :class:`EstimateOptions`,
    :class:`~wdist.data.access.Access` and :class:`~wdist.critics.settings.CriticSettings`."""

    settings: CriticSettings | None
    budget: Budget | float | str | timedelta | None
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
    divergence: str | None
    lambda_: float | None
    blocks: int | None
    seed: int
    device: str
    draws: int | None
    access: Access | None
    features: Any
    trust: bool
    download: bool
    drop_nonfinite: bool
    cache: bool
    feature_cache: str | Path | None
    missing: str
    scale: str | Mapping[str, float]
    width: int | None
    depth: int | None
    group_size: int | None
    batch_size: int | None
    optimizer: str | None
    learning_rate: float | None
    schedule: str | None
    activation: str | None
    constraint: str | None
    bjorck_order: int | None
    bjorck_iterations: int | None
    beta: float | None
    centres: int | None
    lipschitz: float | None


@dataclass(frozen=True, kw_only=True)
class EstimateOptions:
    """Validated options of one estimate."""

    settings: CriticSettings = CriticSettings()
    """Size and training of the critics; settings left open are chosen by the shape of the data."""
    budget: Budget | None = None
    """Limit of the whole command, baselines and transport included; None for about a minute on two cores."""
    critic: str = AUTO
    """The critic that provides the population bounds: ``auto`` chooses among several kinds by their validation values."""
    critics: str | tuple[str, ...] | None = None
    """Critics to compare instead: ``default``, ``all`` or names; the one with the highest lower bound comes first."""
    baselines: str | tuple[str, ...] = DEFAULT
    """Critics shown beside the main one: ``none``, ``default``, ``all`` or names."""
    metric: str = "l2"
    """Ground metric: ``l2``, ``l1`` or ``linf``."""
    repeats: int = 1
    """Number of seeds to train each critic with, all on the same split; the bounds are those of the first seed."""
    folds: int | None = None
    """Number of parts to divide the samples into. Each part is held out from one training, so the lower bound for the populations
    uses every sample. 1 for a single training with a sixth of the samples held out; None for 5 folds if the samples are few and no
    budget is given, otherwise 1."""
    confidence: float = 0.95
    """Joint confidence of all population bounds of the result."""
    ci: str = AUTO
    """Confidence bound: ``auto``, ``welch``, ``empirical-bernstein`` or ``betting``."""
    tolerance: float | None = None
    """Gap between the bounds for the samples, relative to the upper bound, at which the run may stop."""
    couplings: bool = True
    """Whether to compute upper bounds; without them, the lower bounds get a larger share of the error."""
    blocks: int | None = None
    """Samples per block for the mean distance between blocks; None to choose a size, 0 to leave this distance out. Without
    couplings, it is measured only if a size is given."""
    divergence: str | None = None
    """Divergence to bound besides W1: ``kl``, the Kullback-Leibler divergence with a Lipschitz critic; None for none."""
    lambda_: float | None = None
    """Largest Lipschitz constant of a potential of the divergence, in nats per unit of distance."""
    seed: int = 0
    """Seed of splits, draws, weights and minibatches."""
    device: str = AUTO
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""
    draws: int | None = None
    """Number of draws from an endless source that all bounds are based on; None for 20,000, or fewer if samples are large."""
    access: Access = Access()
    """Permissions for opening the sources."""
    features: Any = None
    """Space that distances are measured in: a function of a batch, ``module:function``, or
    ``resnet18?weights=FILE&layer=avgpool``; None for the samples' own space."""

    def __post_init__(self) -> None:
        check_fields(self)
        ground_metric(self.metric)
        if not 0.5 <= self.confidence < 1:
            raise UsageError(f"--confidence must be at least 0.5 and below 1, not {self.confidence:g}; 95 % is written 0.95")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise UsageError(f"--tol must lie between 0 and 1, but is {self.tolerance:g}; 2 % of the distance is written 0.02")
        if self.tolerance is not None and not self.couplings:
            raise UsageError("a tolerance closes the gap to an upper bound, which needs couplings; leave one of the two out")
        if self.blocks is not None and not 0 <= self.blocks <= LARGEST_BLOCK:
            raise UsageError(
                f"--blocks must be a number of samples up to {LARGEST_BLOCK}, or 0 for no blocks, not {self.blocks}; leave it out "
                f"for an automatic choice"
            )
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"--seed must be at least 0 and at most {LARGEST_SEED}, not {self.seed}")
        if self.draws is not None and not FEWEST_DRAWS <= self.draws <= MOST_DRAWS:
            raise UsageError(f"--draws must be between {FEWEST_DRAWS} and {MOST_DRAWS}, not {self.draws}")
        if self.repeats < 1:
            raise UsageError(f"--repeats must be at least 1, not {self.repeats}")
        if self.folds is not None and not 1 <= self.folds <= MOST_FOLDS:
            raise UsageError(f"--folds must be between 1 and {MOST_FOLDS}, not {self.folds}")
        if self.divided and self.repeats > 1:
            raise UsageError("--folds trains on several splits and --repeats with several seeds on one; give one of them")
        if self.critics is not None and self.critic != AUTO:
            raise UsageError("--critic names the main critic and --critics lists several to compare; give one of them")
        if self.critics is not None and self.baselines != DEFAULT:
            raise UsageError("--critics lists all critics and --baselines those beside the main one; give one of them")
        self._check_divergence()
        if self.critics is not None:
            parts = [f"--{name}" for name in ("activation", "constraint") if getattr(self.settings, name) is not None]
            if parts:
                raise UsageError(
                    f"{' and '.join(parts)} cannot be combined with --critics, which names complete critics; leave either out, "
                    f"or name the others with --baselines"
                )

    @property
    def divided(self) -> bool:
        """Whether several folds were asked for."""
        return self.folds is not None and self.folds > 1

    def _check_divergence(self) -> None:
        if self.divergence is None:
            if self.lambda_ is not None:
                raise UsageError("--lambda belongs to --divergence kl; add that, or leave it out")
            return
        if self.divergence not in DIVERGENCES:
            raise UsageError(f"--divergence {self.divergence!r} is unknown; write {', '.join(DIVERGENCES)}")
        if self.lambda_ is None:
            raise UsageError(
                f"--divergence {self.divergence} needs --lambda, the largest slope of a potential in nats per unit of distance; "
                f"give for example --lambda 1"
            )
        if not LEAST_LIPSCHITZ <= self.lambda_ <= LARGEST_LIPSCHITZ:
            raise UsageError(f"--lambda must lie between {LEAST_LIPSCHITZ:g} and {LARGEST_LIPSCHITZ:g}, but is {self.lambda_:g}")
        refused = {
            "--folds": (self.divided, "is bounded on one held-out split"),
            "--repeats": (self.repeats > 1, "is bounded by critics of one seed"),
            "--critics": (self.critics is not None, "chooses its own critic, and that option compares bounds for W1"),
            "--tol": (self.tolerance is not None, "continues after the interval for W1 is closed"),
        }
        for name, (given, reason) in refused.items():
            if given:
                raise UsageError(f"--divergence {reason}; leave {name} out")

    @property
    def timed(self) -> bool:
        """Whether the budget is a length of time."""
        return self.budget is not None and self.budget.timed

    @classmethod
    def validated(
        cls,
        *,
        settings: CriticSettings | None = None,
        budget: Budget | float | str | timedelta | None = None,
        steps: int | None = None,
        critics: str | Sequence[str] | None = None,
        baselines: str | Sequence[str] = DEFAULT,
        access: Access | None = None,
        **others: Any,
    ) -> EstimateOptions:
        """Makes options from keyword arguments as users write them: comma-separated names, ``"2m"``, ``steps`` for a budget.

        Raises:
            UsageError: a value lies outside its range, or two options exclude each other.
        """
        access = _gathered(Access, "access", access, others)
        settings = _gathered(CriticSettings, "settings", settings, others)
        for name in sorted(others.keys() - {each.name for each in fields(cls)}):
            raise unknown_keyword(name, tuple(EstimateArguments.__annotations__))
        return cls(
            settings=settings,
            budget=_budget(budget, steps),
            critics=None if critics is None else _names(critics, "--critics", (DEFAULT, ALL)),
            baselines=_names(baselines, "--baselines", (NONE, DEFAULT, ALL)),
            access=access,
            **others,
        )


def _gathered(kind: type[_Group], name: str, given: Any, flat: dict[str, Any]) -> _Group:
    """A group of options, given as a whole, by the names of its fields, or as a whole with some fields replaced."""
    whole: _Group = accepted(name, kind() if given is None else given, kind)
    return replace(whole, **{each.name: flat.pop(each.name) for each in fields(kind) if each.name in flat})


def _budget(budget: Budget | float | str | timedelta | None, steps: int | None) -> Budget | None:
    if budget is not None and steps is not None:
        raise UsageError("--steps and --budget both limit the run; give one of them")
    if steps is not None:
        return Budget(steps=steps)
    return None if budget is None else Budget.of(budget)


def _names(words: str | Sequence[str], option: str, keywords: tuple[str, ...]) -> str | tuple[str, ...]:
    """Returns a keyword as it is, anything else as a tuple of names."""
    if isinstance(words, str) and words in keywords:
        return words
    listed: Any = words.split(",") if isinstance(words, str) else words
    if not isinstance(listed, Collection) or not all(isinstance(name, str) for name in listed):
        raise UsageError(f"{option} must be {', '.join(keywords)}, or a list of names, not {shown(words)}")
    names = tuple(name.strip() for name in listed if name.strip())
    if not names and option == "--baselines" and not isinstance(words, str):
        return NONE
    if not names:
        raise UsageError(f"{option} names no critic; write {', '.join(keywords)}, or names separated by commas")
    return names
