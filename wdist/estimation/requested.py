"""Requested critics: the critics that the options ask for, resolved for one pair of sources."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from wdist.critics.settings import CriticSettings
from wdist.data.pairing import Pair
from wdist.errors import UsageError
from wdist.estimation.options import ALL, AUTO, DEFAULT, NONE, EstimateOptions
from wdist.ground_metric import GroundMetric, ground_metric
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE, automatic, default_critics, main_network, named
from wdist.training.kind import CriticKind, CriticSpec, DataShape
from wdist.training.networks import NetworkKind

_ASSEMBLING = ("activation", "constraint", "group_size", "bjorck_order", "bjorck_iterations", "beta")
"""Settings that describe a network; giving one of them requests that network."""
_BASELINE_SHARE = 1 / 3
"""Fraction of the budget for all baselines together."""
_DIVERGENCE_SHARE = 1 / 3
"""Fraction of the budget for the critic of a divergence."""
_DEFAULT_BASELINE_SHARE = 0.5
"""Fraction of its default budget that a baseline gets, so that the usual baselines take a third of the time."""


@dataclass(frozen=True, kw_only=True)
class RequestedCritic:
    """One critic of the result: a specification, or several to choose from by their validation values."""

    name: str
    """Name of the critic, or ``auto``."""
    specs: tuple[CriticSpec, ...]

    @property
    def trained(self) -> bool:
        """Whether a candidate is trained, so that seeds and budgets make a difference."""
        return any(spec.budget is not None for spec in self.specs)

    def part(self, share: float) -> "RequestedCritic":
        """Returns the same critic with its default budgets multiplied by ``share``."""
        specs = (
            spec if spec.budget is None else replace(spec, budget=spec.budget.part(share), seconds=share * spec.seconds)
            for spec in self.specs
        )
        return replace(self, specs=tuple(specs))

    def covers(self, other: "RequestedCritic") -> bool:
        """Whether fitting this one also fits the other."""
        return len(self.specs) > 1 and other.name in {spec.kind.name for spec in self.specs}


def requested_critics(options: EstimateOptions, pair: Pair) -> tuple[RequestedCritic, ...]:
    """Resolves the critics of a result for an open pair, the main one first.

    Raises:
        UsageError: a name is unknown, settings do not fit each other or the data, or a setting makes no difference to any critic.
    """
    metric, shape = ground_metric(options.metric), DataShape.of(pair)
    plain = replace(options.settings, activation=None, constraint=None)
    if options.critics is not None:
        kinds = named(_expanded(options.critics, metric), "--critics")
        requested = tuple(_resolved((kind,), plain, shape, metric) for kind in kinds)
    else:
        main = _resolved(_main_kinds(options, metric, shape.dim), options.settings, shape, metric)
        # A divergence uses the time of the usual baselines.
        baselines = NONE if options.divergence is not None and options.baselines == DEFAULT else options.baselines
        others = _named_baselines(baselines, main, metric)
        requested = (main, *(_resolved((kind,), plain, shape, metric) for kind in others))
    _check_settings(options.settings, requested)
    if not (pair.identical or options.divergence is not None or any(each.trained for each in requested)):
        _check_untrained(options, requested)
    _check_buildable(options.settings, requested, shape)
    return requested[:1] if pair.identical else requested


def without_training(requested: tuple[RequestedCritic, ...], options: EstimateOptions, pair: Pair) -> tuple[RequestedCritic, ...]:
    """The critics to evaluate once the gap is closed: those that the user named, otherwise the difference of the means."""
    if options.critics is not None:
        return requested
    main = requested[0] if options.critic != AUTO or options.settings != CriticSettings() else mean_difference(options, pair)
    others = () if isinstance(options.baselines, str) else requested[1:]
    return (main, *(each for each in others if each.name != main.name))


def network_of_divergence(options: EstimateOptions, pair: Pair) -> CriticSpec:
    """The network to train for a divergence: the user's if a constraint bounds its Lipschitz constant, otherwise the paper's."""
    metric, shape = ground_metric(options.metric), DataShape.of(pair)
    kind, settings = CATALOGUE.get(options.critic), replace(options.settings, centres=None)
    if isinstance(kind, NetworkKind) or (kind is None and settings != CriticSettings()):
        spec = (kind or main_network(metric)).resolve(settings, shape, metric)
        if spec.kind.bound_by_construction:
            return spec
    return main_network(metric).resolve(CriticSettings(), shape, metric)


def budget_of_divergence(options: EstimateOptions, *, seconds: float | None) -> Budget | None:
    """The budget for training the critic of a divergence; None for the default.

    ``seconds`` is the time left if the budget of the command is a length of time, otherwise None.
    """
    if seconds is not None:
        return Budget(seconds=max(seconds, 0.1))
    return None if options.budget is None else options.budget.part(_DIVERGENCE_SHARE)


def mean_difference(options: EstimateOptions, pair: Pair) -> RequestedCritic:
    """The difference of the means, a critic that takes no time."""
    return _resolved((CATALOGUE["mean-difference"],), CriticSettings(), DataShape.of(pair), ground_metric(options.metric))


def _main_kinds(options: EstimateOptions, metric: GroundMetric, dim: int) -> tuple[CriticKind, ...]:
    if options.critic == AUTO:
        assembled = any(getattr(options.settings, name) is not None for name in _ASSEMBLING)
        return (main_network(metric),) if assembled else automatic(metric, dim=dim)
    if options.critic not in CATALOGUE:
        raise UsageError(f"--critic {options.critic!r} is not a critic; write auto, or one of {', '.join(CATALOGUE)}")
    return (CATALOGUE[options.critic],)


def _expanded(names: str | tuple[str, ...], metric: GroundMetric) -> tuple[str, ...]:
    """Replaces a keyword by the names that it stands for."""
    keywords = {NONE: (), DEFAULT: default_critics(metric), ALL: tuple(CATALOGUE)}
    return keywords[names] if isinstance(names, str) else names


def _named_baselines(names: str | tuple[str, ...], main: RequestedCritic, metric: GroundMetric) -> tuple[CriticKind, ...]:
    own = main.specs[0].kind.name if len(main.specs) == 1 else ""
    if not isinstance(names, str) and own in names:
        raise UsageError(f"--baselines {own!r} is the main critic already; leave it out")
    return named([name for name in _expanded(names, metric) if name != own], "--baselines")


def _resolved(kinds: Sequence[CriticKind], settings: CriticSettings, shape: DataShape, metric: GroundMetric) -> RequestedCritic:
    specs = tuple(kind.resolve(_settings_of(kind, kinds, settings), shape, metric) for kind in kinds)
    return RequestedCritic(name=specs[0].kind.name if len(specs) == 1 else AUTO, specs=specs)


def _settings_of(kind: CriticKind, kinds: Sequence[CriticKind], settings: CriticSettings) -> CriticSettings:
    """The settings that apply to one of several kinds: sizes and training settings apply only to networks."""
    if len(kinds) == 1 or "width" in kind.accepts:
        return settings
    return CriticSettings(centres=settings.centres, lipschitz=settings.lipschitz)


def _check_settings(settings: CriticSettings, requested: Sequence[RequestedCritic]) -> None:
    accepted: set[str] = set().union(*(spec.kind.accepts for each in requested for spec in each.specs))
    main: set[str] = set().union(*(spec.kind.accepts for spec in requested[0].specs))
    accepted -= {"activation", "constraint"} - main  # the name of a baseline fixes these
    for name in (each.name for each in fields(settings)):
        if getattr(settings, name) is not None and name not in accepted | {"lipschitz"}:
            named_critics = ", ".join(each.name for each in requested)
            raise UsageError(
                f"--{name.replace('_', '-')} makes no difference to {named_critics}; leave it out, or choose another critic"
            )


def _check_untrained(options: EstimateOptions, requested: Sequence[RequestedCritic]) -> None:
    """Refuses training options if no critic is trained; a time budget also limits transport, so it is accepted with couplings."""
    idle = {
        "--steps": options.budget is not None and not options.timed,
        "--budget": options.timed and not options.couplings,
        "--repeats": options.repeats > 1,
    }
    if given := [name for name, value in idle.items() if value]:
        names, one = ", ".join(each.name for each in requested), len(given) == 1
        raise UsageError(
            f"{' and '.join(given)} {'makes' if one else 'make'} no difference to {names}, because nothing is trained; "
            f"leave {'it' if one else 'them'} out, or name a critic that is trained"
        )


def _check_buildable(settings: CriticSettings, requested: Sequence[RequestedCritic], shape: DataShape) -> None:
    """Builds each network once before any is trained, so that a layer that cannot be built is reported now, not after an hour."""
    if settings == CriticSettings():
        return  # settings that follow from the data fit
    for spec in (spec for each in requested for spec in each.specs):
        spec.kind.check(spec, shape)


def budgets(requested: Sequence[RequestedCritic], options: EstimateOptions, *, seconds: float | None) -> list[Budget | None]:
    """Divides the budget of the command among its critics, for one seed each.

    The main critic gets two thirds, and the baselines that still have to be trained share the rest. Critics to compare get equal
    parts.

    Arguments:
        requested: the main critic first.
        options: of the command.
        seconds: time left for training if the budget is a length of time, otherwise None.

    Returns:
        A budget for each critic; None for its own default.
    """
    main, *others = requested
    new = [each for each in others if each.trained and not main.covers(each)]
    if options.budget is None:
        if options.critics is not None:
            return [None] * len(requested)
        defaults = [each.specs[0].budget for each in others]
        return [None, *(None if own is None else own.part(_DEFAULT_BASELINE_SHARE) for own in defaults)]
    whole = options.budget.part(1 / (options.folds or 1)) if seconds is None else Budget(seconds=max(seconds, 0.1))
    whole = whole.part((1 if options.divergence is None else 1 - _DIVERGENCE_SHARE) / options.repeats)
    if options.critics is not None:
        return [whole.part(1 / max(1, sum(each.trained for each in requested)))] * len(requested)
    if not main.trained:
        return [whole, *[whole.part(1 / max(1, len(new)))] * len(others)]
    first = whole.part(1 - _BASELINE_SHARE) if new else whole
    return [first, *[whole.part(_BASELINE_SHARE / max(1, len(new)))] * len(others)]
