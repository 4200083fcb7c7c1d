"""``compare``: several sources ranked by their distance from one reference."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, partial
from statistics import fmean
from typing import Any, NamedTuple, TypeAlias

from wdist.checkpoints.checkpoint import now
from wdist.checkpoints.manifest import settings_of
from wdist.comparison.entry import Entry
from wdist.comparison.noise_floor import LEAST_ROWS, halves, measured_slope
from wdist.comparison.pool import best_found, independent, value_found, values_on
from wdist.comparison.ranking import NOISE_FLOOR, Comparison, ComparisonShard, short_names
from wdist.comparison.witnesses import Side, check_images, find_witnesses
from wdist.critics.frozen import Potentials
from wdist.critics.settings import CriticSettings
from wdist.data.comparable import comparable
from wdist.data.features.opening import open_features
from wdist.data.measure import DRAWN_HELD_OUT
from wdist.data.rows import ResidentRows, read_again
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource, Source
from wdist.data.tables.joint import is_encoded, jointly_encoded
from wdist.distributed.processes import check_same, processes
from wdist.environment import choose_device, versions
from wdist.errors import CertificateError, SourceError, TrainingDiverged, UsageError, WdistError
from wdist.estimation.blocks import block_plan, block_seconds
from wdist.estimation.estimate import run_estimate
from wdist.estimation.folds import folds_pay
from wdist.estimation.options import DEFAULT, NONE, EstimateOptions
from wdist.estimation.proof import serialise_proofs
from wdist.ground_metric import ground_metric
from wdist.interruption import Interruption
from wdist.training.observer import CriticStarted, Event, Observer, Silent, Stage


def run_comparison(
    reference: Any,
    sources: Sequence[Any],
    options: EstimateOptions,
    *,
    names: Sequence[str] | None = None,
    witnesses: int = 0,
    shard: tuple[int, int] = (0, 1),
    observer: Observer | None = None,
) -> Comparison:
    """Compares with validated options; arguments, result and errors as for :func:`wdist.compare`.

    ``shard`` is the number of this shard, counted from 0, and how many there are; bounds hold together over all shards.
    """
    began, observer, (number, of) = now(), observer or Silent(), shard
    _check_options(options)
    observer.notify(Stage(what="reading and checking the sources"))
    features = open_features(options.features, options.access, choose_device(options.device))
    access = replace(options.access, feature_cache=None)  # the feature space holds the cache; the noise floor has no features
    options = replace(options, features=features, baselines=NONE, access=access)
    inputs = _open(reference, sources, names, options, images=witnesses > 0)
    if of > len(inputs.others):
        raise UsageError(f"--shard divides {len(inputs.others)} sources among {of} runs, but each needs one; make fewer shards")
    estimates = _Estimates(inputs, options, observer, witnesses=witnesses)
    tasks: dict[str, Callable[[], _Outcome]] = {name: partial(estimates.judge, name) for name in inputs.others}
    if estimates.halves is not None:
        tasks[NOISE_FLOOR] = estimates.judge_noise_floor
    own = list(tasks)[number::of]
    outcomes = processes().spread("sources", [tasks[name] for name in own])
    part = ComparisonShard(
        number=number,
        of=of,
        settings={**settings_of(options), "samples": inputs.digests, "versions": versions()},
        names=tuple(inputs.others),
        outcomes=dict(zip(own, outcomes, strict=True)),
        confidence=options.confidence,
        results=estimates.results,
        slope=estimates.slope() if NOISE_FLOOR in own else None,
        metric=options.metric,
        seed=options.seed,
        seconds=now() - began,
        warnings=inputs.warnings if estimates.halves is not None else (*inputs.warnings, _NO_NOISE_FLOOR),
        interrupted=estimates.interruption.requested,
    )
    return replace(comparison_of([part]), shard=part if of > 1 else None)


def comparison_of(shards: Sequence[ComparisonShard]) -> Comparison:
    """The comparison of all sources of these shards, which have the same settings.

    Raises:
        WdistError: no source has a result; this is the first failure.
        KeyboardInterrupt: no source has a result, because the user interrupted the run.
    """
    one, outcomes = shards[0], {name: found for shard in shards for name, found in shard.outcomes.items()}
    order = [name for name in (*one.names, NOISE_FLOOR) if name in outcomes]
    entries = {name: found for name in order if isinstance(found := outcomes[name], Entry)}
    failures = {name: found for name in order if isinstance(found := outcomes[name], WdistError | str)}
    ranking = [entry for name, entry in entries.items() if name != NOISE_FLOOR]
    if not ranking:
        failure = next((found for name, found in failures.items() if name != NOISE_FLOOR), None)
        raise SourceError(failure) if isinstance(failure, str) else failure or KeyboardInterrupt()
    first = ranking[0].estimate
    return Comparison(
        reference=first.a.beside_reference,
        digest=first.digest_a,
        ranking=tuple(sorted(ranking, key=partial(value_found, found=best_found(ranking)))),
        noise_floor=entries.get(NOISE_FLOOR),
        confidence=one.confidence,
        results=one.results,
        slope=next((shard.slope for shard in shards if shard.slope is not None), None),
        metric=one.metric,
        features=first.features,
        seed=one.seed,
        seconds=sum(shard.seconds for shard in shards),
        environment=first.environment,
        warnings=(
            *(f"{name}: {warning}" for name, entry in entries.items() for warning in entry.estimate.warnings),
            *(f"{name} is left out: {failure}" for name, failure in failures.items()),
            *one.warnings,
        ),
        left_out=tuple(name for name in one.names if name in outcomes and name not in entries),
        interrupted=any(shard.interrupted for shard in shards),
    )


def proof_of_comparison(comparison: Comparison) -> bytes:
    """The proofs of all results, by the names of their sources, as the bytes of a safetensors file."""
    return serialise_proofs({entry.name: entry.estimate for entry in comparison.ranking})


def _check_options(options: EstimateOptions) -> None:
    baselines, repeats = options.baselines not in (DEFAULT, NONE), options.repeats > 1
    for name, refused in (("critics", options.critics is not None), ("baselines", baselines), ("repeats", repeats)):
        if refused:
            raise UsageError(f"a comparison judges each source by one critic, so it takes no --{name}; leave it out")


def _options_of_one(options: EstimateOptions, inputs: "_Inputs", *, results: int) -> EstimateOptions:
    """Options of one result: equal shares of the error and of the budget, and blocks and folds that suit all sources."""
    budget, reference = options.budget, inputs.reference.side.source
    others = [each.side.source for each in inputs.others.values()]
    if budget is not None:
        # The noise floor takes time, but no steps; processes work at the same time.
        budget = budget.part(1 / (-(-results // processes().size) if budget.timed else len(others)))
    one = replace(options, budget=budget, confidence=1 - (1 - options.confidence) / results)
    one = replace(one, blocks=_block_size(one, [reference, *others]))
    if all(folds_pay(one, reference.info, each.info) for each in others):
        return one
    return replace(one, folds=one.folds or 1)  # tests of orders need critics of all sources on the same part of the reference


def _without_training(options: EstimateOptions) -> EstimateOptions:
    """Options of the noise floor."""
    time_alone = options.budget if options.timed else None
    return replace(
        options, critic="mean-difference", settings=CriticSettings(), budget=time_alone, tolerance=None, features=None, blocks=0
    )


def _block_size(options: EstimateOptions, sources: Sequence[Source]) -> int:
    """One block size for all sources, so that they share the blocks of the reference; 0 if a source has too few samples."""
    if options.blocks is not None or not options.couplings:
        return options.blocks or 0
    drawn = options.draws or DRAWN_HELD_OUT
    fewest = min(min(source.count, DRAWN_HELD_OUT) if isinstance(source, FiniteSource) else drawn for source in sources)
    seconds = block_seconds(None if options.budget is None else options.budget.seconds)
    if sources[0].info.fitted:  # blocks leave out the samples that the metric was fitted to
        fewest //= 3
    plan = block_plan(fewest, fewest, sources[0].info.dim, seconds=seconds)
    return 0 if plan is None else plan.size


_Outcome: TypeAlias = Entry | WdistError | None
"""A result, the error that prevented it, or None if the user stopped the run before."""
_MOST_HELD = 1 << 30
"""Most bytes of all sources together for which each critic is evaluated on other sources."""
_NO_NOISE_FLOOR = f"the reference has too few samples for a noise floor, which needs at least {LEAST_ROWS}"


class _Opened(NamedTuple):
    """One source that was opened and checked."""

    given: Source
    """The source for the estimate, which surveys it again, so that digests are those of a single estimate."""
    side: Side


class _Inputs(NamedTuple):
    """The reference and the sources compared with it."""

    reference: _Opened
    others: dict[str, _Opened]
    """The sources by name, in the order given."""
    digests: list[str | None]
    """Digests of the reference and of the others."""
    warnings: tuple[str, ...]
    """Warnings that no estimate repeats."""


def _open(
    reference: Any, sources: Sequence[Any], names: Sequence[str] | None, options: EstimateOptions, *, images: bool
) -> _Inputs:
    """Opens and checks everything, so that bad input is found before the first training."""
    if not sources:
        raise UsageError("there is nothing to compare with the reference; name at least one source after it")
    opened = [open_source(address, options.access, seed=options.seed) for address in (reference, *sources)]
    joint = jointly_encoded(opened, options.access, seed=options.seed, metric=ground_metric(options.metric))
    found = comparable(joint.sources, options.access, seed=options.seed, mapped=options.features is not None)
    if images:
        for each in found:
            check_images(each.source.info)
    digests = [each.digest for each in found]
    check_same("sources", digests)
    chosen = _names(names, [each.given.info.address for each in found[1:]])
    # Estimates repeat the warnings about plain tables of numbers, and about sources without features.
    warnings = joint.warnings if is_encoded(found[0].given) else ()
    judged, given = [each.source for each in found], [each.given for each in found]
    if options.features is not None:
        warnings += tuple(warning for each in found for warning in each.warnings)
        given = judged = [options.features.of(each.source, each.ends, digest=each.digest) for each in found]
    reference, *others = (_Opened(a, Side(images=b.source, source=c)) for a, b, c in zip(given, found, judged, strict=True))
    return _Inputs(reference, dict(zip(chosen, others, strict=True)), digests, warnings)


def _names(names: Sequence[str] | None, addresses: Sequence[str]) -> tuple[str, ...]:
    chosen = short_names(addresses) if names is None else tuple(names)
    if len(chosen) != len(addresses):
        raise UsageError(f"there are {len(chosen)} names for {len(addresses)} sources; give each source one name")
    if len({*chosen, NOISE_FLOOR}) != len(chosen) + 1 or not all(chosen):
        raise UsageError(f"names must not be empty, must differ, and none may be {NOISE_FLOOR!r}: {', '.join(chosen)}")
    return chosen


class _Estimates:
    """Computes one result after another until the user interrupts; a source that fails is left out, with the reason."""

    def __init__(self, inputs: _Inputs, options: EstimateOptions, observer: Observer, *, witnesses: int) -> None:
        self._inputs, self._observer, self._witnesses = inputs, observer, witnesses
        self.halves = halves(inputs.reference.side.source, seed=options.seed)
        """Two independent parts of the reference; None if it has too few samples."""
        self.results = len(inputs.others) + (self.halves is not None)
        self._options = _options_of_one(options, inputs, results=self.results)
        self._left, self._taken = len(inputs.others), list[float]()
        self.interruption = Interruption()

    def judge(self, name: str) -> _Outcome:
        """The result of one source, with the samples that its critic tells apart most clearly."""
        reference, source = self._inputs.reference, self._inputs.others[name]
        what = f"{name}, {list(self._inputs.others).index(name) + 1} of {len(self._inputs.others)}"
        found = self._estimate(name, what, reference.given, source.given, self._options)
        if isinstance(found, Entry):
            found = replace(found, on_others=self.interruption.attempt(partial(self._on_others, found)) or {})
        if self._witnesses and isinstance(found, Entry):
            how: Any = {"count": self._witnesses, "seed": self._options.seed}
            search = partial(find_witnesses, found.estimate.critic.frozen, reference.side, source.side, **how)
            return replace(found, witnesses=self.interruption.attempt(search))
        return found

    def _on_others(self, entry: Entry) -> dict[str, tuple[Potentials, ...]]:
        if not entry.estimate.critic.folds:
            return {}
        return {name: values_on(entry.estimate, self._rows[name]) for name in self._independent.get(entry.name, ())}

    @cached_property
    def _independent(self) -> dict[str, set[str]]:
        return independent(self._rows)

    @cached_property
    def _rows(self) -> dict[str, ResidentRows]:
        """The samples of all stored sources; empty if they are too many to be held together."""
        found = {name: each.side.source for name, each in self._inputs.others.items()}
        stored = {name: each for name, each in found.items() if isinstance(each, FiniteSource)}
        if sum(each.nbytes for each in stored.values()) > _MOST_HELD:
            return {}
        return {name: ResidentRows(values=read_again(each, slice(0, each.count)), info=each.info) for name, each in stored.items()}

    def judge_noise_floor(self) -> _Outcome:
        """The result of the reference against itself, without training."""
        assert self.halves is not None
        options = _without_training(self._options)
        if not isinstance(self.halves[0], FiniteSource):
            options = replace(options, folds=1)  # two sides of draws are not divided into folds
        return self._estimate(NOISE_FLOOR, "noise floor, the reference against itself", *self.halves, options)

    def slope(self) -> float | None:
        """The rate at which W1 between two halves of the reference falls."""
        assert self.halves is not None
        measure = partial(measured_slope, *self.halves, metric=ground_metric(self._options.metric), seed=self._options.seed)
        return self.interruption.attempt(partial(processes().from_first, "slope", measure))

    def _estimate(self, name: str, what: str, a: Source, b: Source, options: EstimateOptions) -> _Outcome:
        if self.interruption.requested:
            return None
        self._observer.notify(Stage(what=what))
        self._left = max(0, self._left - 1)
        observer = _WithLaterSources(self._observer, seconds=self._expected_later())
        if isinstance(a, FiniteSource) and isinstance(b, FiniteSource):
            options = replace(options, draws=None)
        try:
            estimate = self.interruption.attempt(partial(run_estimate, a, b, options, observer=observer, command="compare"))
        except (TrainingDiverged, CertificateError, SourceError) as failure:
            return failure
        if estimate is None:
            return None
        self.interruption.requested = estimate.interrupted
        self._taken.append(estimate.seconds)
        return Entry(name=name, estimate=estimate)

    def _expected_later(self) -> float | None:
        """Expected seconds for the sources after this one: their budgets, or as long as those before took; None before the first is
        done."""
        if self._left == 0:
            return 0.0
        limit = None if self._options.budget is None else self._options.budget.seconds
        seconds = self._taken if limit is None else [limit]
        return self._left * fmean(seconds) if seconds else None


class _WithLaterSources:
    """Passes on the events of one estimate, adding the time of the sources still to be estimated to what comes after it."""

    def __init__(self, observer: Observer, *, seconds: float | None) -> None:
        self._observer, self._seconds = observer, seconds

    def notify(self, event: Event) -> None:
        if isinstance(event, Stage | CriticStarted):
            event = replace(event, after=None if event.after is None or self._seconds is None else event.after + self._seconds)
        self._observer.notify(event)
