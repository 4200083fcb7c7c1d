"""``compare``: several sources ranked by their distance from one reference."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, TypeAlias

from wdist.checkpoints.checkpoint import now
from wdist.checkpoints.manifest import settings_of
from wdist.comparison.entry import Entry
from wdist.comparison.noise_floor import LEAST_ROWS, halves, measured_slope
from wdist.comparison.ranking import NOISE_FLOOR, Comparison, ComparisonShard, short_names
from wdist.comparison.witnesses import Side, check_images, find_witnesses
from wdist.critics.settings import CriticSettings
from wdist.data.features.opening import open_features
from wdist.data.measure import DRAWN_HELD_OUT
from wdist.data.pairing import check_comparable, check_scales, like, observed_range, surveyed
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

    Of several shards, ``shard`` tells the number, from 0 on, and how many there are; bounds are those of all results together.
    """
    began = now()
    observer = observer or Silent()
    _check_options(options)
    observer.notify(Stage(what="reading and checking the sources"))
    features = open_features(options.features, options.access, choose_device(options.device))
    options = replace(options, features=features, baselines=NONE)
    listed = [sources] if isinstance(sources, str | Path) else list(sources)
    if not listed:
        raise UsageError("there is nothing to compare with the reference; name at least one source after it")
    (given, side), field, digests, warnings = _open(reference, listed, names, options, images=witnesses > 0)
    if shard[1] > len(field):
        raise UsageError(f"--shard divides {len(field)} sources among {shard[1]} runs, and each needs one; make fewer shards")
    two_halves = halves(side.source, seed=options.seed)
    if two_halves is None:
        warnings += (f"the reference has too few samples for a noise floor, which needs at least {LEAST_ROWS}",)
    results = len(field) + (two_halves is not None)
    one = _options_of_one(options, sources=len(field), results=results)
    one = replace(one, blocks=_block_size(one, [side.source, *(other.source for _, other in field.values())]))
    if not all(folds_pay(one, side.source.info, other.source.info) for _, other in field.values()):
        one = replace(one, folds=one.folds or 1)  # tests of orders need critics of all sources on the same part of the reference
    rounds = _Rounds(observer, sources=len(field), seconds=None if one.budget is None else one.budget.seconds)

    def judged(position: int, name: str) -> _Outcome:
        source, other_side = field[name]
        entry = rounds.judge(name, f"{name}, {position} of {len(field)}", given, source, one)
        if entry is not None and witnesses:
            rounds.add_witnesses(entry, side, other_side, count=witnesses, seed=options.seed)
        return rounds.outcome(name)

    def floor_judged(halves: tuple[Source, Source]) -> _Outcome:
        how = _without_training(one)
        if not isinstance(halves[0], FiniteSource):
            how = replace(how, folds=1)  # draws have no folds, and need none
        rounds.judge(NOISE_FLOOR, "noise floor, the reference against itself", *halves, how)
        return rounds.outcome(NOISE_FLOOR)

    tasks = {name: partial(judged, position, name) for position, name in enumerate(field, start=1)}
    if two_halves is not None:
        tasks[NOISE_FLOOR] = partial(floor_judged, two_halves)
    own = [name for place, name in enumerate(tasks) if place % shard[1] == shard[0]]
    outcomes = dict(zip(own, processes().spread("sources", [tasks[name] for name in own]), strict=True))
    slope = None
    if two_halves is not None and NOISE_FLOOR in own:
        measure = partial(measured_slope, *two_halves, metric=ground_metric(options.metric), seed=options.seed)
        slope = rounds.interruption.attempt(partial(processes().from_first, "slope", measure))
    part = ComparisonShard(
        number=shard[0],
        of=shard[1],
        settings={**settings_of(options), "samples": digests, "versions": versions()},
        names=tuple(field),
        outcomes={**outcomes},
        confidence=options.confidence,
        results=results,
        slope=slope,
        metric=options.metric,
        seed=options.seed,
        seconds=now() - began,
        warnings=warnings,
        interrupted=rounds.interruption.requested,
    )
    return replace(comparison_of([part]), shard=part if part.of > 1 else None)


def comparison_of(shards: Sequence[ComparisonShard]) -> Comparison:
    """The comparison of all sources of these shards, which have the same settings.

    Raises:
        WdistError: the first failure, if nothing succeeded; KeyboardInterrupt: the user interrupted before that.
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
        reference=first.a,
        digest=first.digest_a,
        ranking=tuple(sorted(ranking, key=lambda entry: entry.population.estimate)),
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


def _options_of_one(options: EstimateOptions, *, sources: int, results: int) -> EstimateOptions:
    """Options of one result: equal parts of the error and of the budget."""
    budget = options.budget
    if budget is not None:
        # The noise floor takes time, but no steps; processes work at the same time.
        budget = budget.part(1 / (-(-results // processes().size) if budget.steps is None else sources))
    return replace(options, budget=budget, confidence=1 - (1 - options.confidence) / results)


def _without_training(options: EstimateOptions) -> EstimateOptions:
    """Options of the noise floor."""
    time_alone = None if options.budget is None or options.budget.seconds is None else options.budget
    return replace(
        options, critic="mean-difference", settings=CriticSettings(), budget=time_alone, tolerance=None, features=None, blocks=0
    )


def _block_size(options: EstimateOptions, sources: Sequence[Source]) -> int:
    """One size of blocks for all sources, so that those of the reference are the same; 0 where some source has too few samples."""
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
"""A result, why there is none, or None where the user asked to stop before."""
_Opened: TypeAlias = tuple[Source, Side]
"""Source for the estimate, which surveys it again so that digests are those of a single estimate; and its samples, checked."""


def _open(
    reference: Any, sources: Sequence[Any], names: Sequence[str] | None, options: EstimateOptions, *, images: bool
) -> tuple[_Opened, dict[str, _Opened], list[str | None], tuple[str, ...]]:
    """Opens and checks everything, so that bad input is found before the first training.

    Returns:
        The reference, the sources by name in the order given, the digests of all, and the warnings that no estimate repeats.

    Raises:
        WdistError: a source cannot be read or compared with the reference, the names do not fit, or witnesses are not images.
    """
    opened = [open_source(address, options.access, seed=options.seed) for address in (reference, *sources)]
    joint = jointly_encoded(opened, options.access, seed=options.seed, metric=ground_metric(options.metric))
    given: list[Source] = list(joint.sources)
    if options.features is None:
        given = [like(given[0], source) for source in given]
    usable, ranges, digests = [], [], []
    warnings = joint.warnings if is_encoded(given[0]) else ()  # each estimate repeats those about tables of numbers
    for source in given:
        rows, found = surveyed(source, options.access, seed=options.seed)
        usable.append(rows)
        digests.append(None if found is None else found.digest)
        ranges.append(observed_range(rows, found))
        if images:
            check_images(rows.info)
        if options.features is None:
            check_comparable(usable[0], rows, ranges[0], ranges[-1])
        else:
            warnings += check_scales(usable[0], rows, ranges[0], ranges[-1])
    check_same("sources", digests)
    chosen = _names(names, [source.info.address for source in given[1:]])
    if options.features is None:
        judged = usable
    else:
        given = judged = [options.features.of(rows, values) for rows, values in zip(usable, ranges, strict=True)]
    sides = [(a, Side(images=b, source=c)) for a, b, c in zip(given, usable, judged, strict=True)]
    return sides[0], dict(zip(chosen, sides[1:], strict=True)), digests, warnings


def _names(names: Sequence[str] | None, addresses: Sequence[str]) -> tuple[str, ...]:
    chosen = short_names(addresses) if names is None else tuple(names)
    if len(chosen) != len(addresses):
        raise UsageError(f"there are {len(chosen)} names for {len(addresses)} sources; give each source one name")
    if len({*chosen, NOISE_FLOOR}) != len(chosen) + 1 or not all(chosen):
        raise UsageError(f"names must not be empty, must differ, and none may be {NOISE_FLOOR!r}: {', '.join(chosen)}")
    return chosen


class _Rounds:
    """One result after another until the user asks to stop; a source that fails is left out with its reason.

    The ``sources`` are expected to take about the same time: ``seconds`` each, where the user limited it.
    """

    def __init__(self, observer: Observer, *, sources: int, seconds: float | None) -> None:
        self._observer, self._left, self._seconds = observer, sources, seconds
        self.interruption = Interruption()
        self._done: dict[str, Entry] = {}
        self._failures: dict[str, WdistError] = {}

    def judge(self, name: str, what: str, a: Source, b: Source, options: EstimateOptions) -> Entry | None:
        """Estimates one result; None if it fails or the user asked to stop."""
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
            self._failures[name] = failure
            return None
        if estimate is None:
            return None
        self.interruption.requested = estimate.interrupted
        entry = self._done[name] = Entry(name=name, estimate=estimate)
        return entry

    def add_witnesses(self, entry: Entry, reference: Side, source: Side, *, count: int, seed: int) -> None:
        """Keeps the samples that the critic of a result tells apart most clearly."""
        critic = entry.estimate.critic.frozen
        found = self.interruption.attempt(partial(find_witnesses, critic, reference, source, count=count, seed=seed))
        self._done[entry.name] = replace(entry, witnesses=found)

    def outcome(self, name: str) -> _Outcome:
        """Outcome of this process for a name."""
        return self._done.get(name) or self._failures.get(name)

    def _expected_later(self) -> float | None:
        """Seconds that the sources after this one are expected to take; None before the first is done."""
        seconds = [entry.estimate.seconds for entry in self._done.values()] if self._seconds is None else [self._seconds]
        if self._left == 0:
            return 0.0
        return self._left * fmean(seconds) if seconds else None


class _WithLaterSources:
    """Passes on the events of one estimate; what comes after it includes the sources still to be estimated."""

    def __init__(self, observer: Observer, *, seconds: float | None) -> None:
        self._observer, self._seconds = observer, seconds

    def notify(self, event: Event) -> None:
        if isinstance(event, Stage | CriticStarted):
            event = replace(event, after=None if event.after is None or self._seconds is None else event.after + self._seconds)
        self._observer.notify(event)
