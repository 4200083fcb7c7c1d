"""``compare``: several sources ranked against one reference, all judged in one manner."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from wdist.comparison.noise_floor import LEAST_ROWS, halves, measured_slope
from wdist.comparison.ranking import NOISE_FLOOR, Comparison, Entry, short_names
from wdist.comparison.witnesses import Side, check_images, find_witnesses
from wdist.critics import mean_difference
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.memory import planned_memory
from wdist.data.pairing import Pair, check_comparable, check_scales, observed_range, surveyed
from wdist.data.sources.source import FiniteSource, Source
from wdist.environment import environment
from wdist.errors import CertificateError, SourceError, TrainingDiverged, UsageError, WdistError
from wdist.estimation.estimate import answer
from wdist.estimation.evaluation import train_ahead
from wdist.estimation.question import AUTO, Entrant, Question
from wdist.estimation.result import Estimate
from wdist.estimation.task import Shelf
from wdist.training.budget import Budget
from wdist.training.observer import Observer, Stage


def compare(
    reference: Any,
    sources: Sequence[Any],
    *,
    names: Sequence[str] | None = None,
    witnesses: int = 0,
    settings: CriticSettings | None = None,
    budget: Budget | str | None = None,
    steps: int | None = None,
    critic: str = AUTO,
    metric: str = "l2",
    confidence: float = 0.95,
    ci: str = "auto",
    seed: int = 0,
    device: str = "auto",
    access: Access | None = None,
    features: Any = None,
    observer: Observer | None = None,
) -> Comparison:
    r"""Ranks sources by their Wasserstein-1 distance from a reference.

    The reference is opened once, and its split follows from its number of samples and the seed alone: each source stands against
    the same samples, with the same budget and the same seed. Beside them stands the noise floor, the reference against itself: two
    disjoint halves of a finite one, two streams of draws of an endless one. The distance between the distributions is 0 there, and
    what the interval leaves open is what the samples cannot tell. It takes no training, only a critic that follows from a formula.

    All bounds for the distributions, over all k results, hold together at ``confidence``: each result is stated at
    1 - (1 - confidence) / k. Like those of a single estimation they are of independent samples: a source that shares samples
    with the reference, or was trained on them, keeps its certain bounds for the sample sets and loses the others.

    Arguments:
        reference: an address, a tensor, an array or an open source.
        sources: what is ranked, likewise; at least one.
        names: what the sources are called in the result; by default the shortest parts of their addresses that tell them apart.
        witnesses: how many samples of each side are kept to which the critic of a source gives the most extreme potentials; only
            of images.
        settings, budget, steps, critic, metric, ci, seed, device, access, features: as for :func:`wdist.estimation.estimate.estimate`.
        confidence: of all population bounds of the comparison together.
        observer: is told how far the work is.

    Returns:
        The comparison, in the units of the data. After Ctrl-C: what is proved so far, with ``interrupted`` set. A source whose
        training diverged is left out, with a warning.

    Raises:
        WdistError: bad input, before anything is trained; or nothing came of any source.
        KeyboardInterrupt: before the first result was there.
    """
    question = Question.of(
        settings=settings,
        budget=budget,
        steps=steps,
        critic=critic,
        baselines="none",
        metric=metric,
        confidence=confidence,
        ci=ci,
        seed=seed,
        device=device,
        access=access,
        features=features,
        observer=observer,
        command="compare",
    )
    observer = question.observer
    observer.notify(Stage(what="reading and checking the sources"))
    field = _open(reference, _several(sources), names=names, question=question, images=witnesses > 0)
    two_halves = halves(field.reference.source, seed=seed)
    few = () if two_halves else (f"the reference has too few samples for a noise floor, which takes {LEAST_ROWS}",)
    results = len(field.sources) + (two_halves is not None)
    question = replace(question, confidence=1 - (1 - confidence) / results)
    found = partial(find_witnesses, reference=field.reference, count=witnesses, seed=seed)
    rounds, floor = _Rounds(), _Rounds()
    with ExitStack() as held:
        ready = _trained_ahead(question, field, held)
        for position, (name, side) in enumerate(field.sources.items(), start=1):
            if rounds.interrupted:
                break
            observer.notify(Stage(what=f"{name}, {position} of {len(field.sources)}"))
            judge = partial(_judge, question, field.reference.source, side.source, ready=ready.get(name))
            rounds.run(name, judge, witnesses=partial(found, source=side) if witnesses else None)
    rounds.check()
    slope = None
    if two_halves is not None and not rounds.interrupted:
        observer.notify(Stage(what="noise floor, the reference against itself"))
        formula = Entrant(recipe=mean_difference.RECIPE, settings=CriticSettings())
        floor.run(NOISE_FLOOR, partial(_judge, replace(question, entrants=(formula,), budget=None, space=None), *two_halves))
        slope = None if floor.interrupted else measured_slope(*two_halves, metric=question.metric, seed=seed)
    first = rounds.done[0].estimate
    return Comparison(
        reference=first.a,
        digest=first.digest_a,
        ranking=tuple(sorted(rounds.done, key=lambda entry: entry.population.estimate)),
        noise_floor=floor.done[0] if floor.done else None,
        confidence=confidence,
        results=results,
        slope=slope,
        metric=metric,
        features=first.features,
        seed=seed,
        seconds=time.perf_counter() - question.began,
        environment=environment(question.device),
        warnings=(*rounds.warnings(), *floor.warnings(), *field.told, *few),
        left_out=tuple(name for name in field.sources if name not in {entry.name for entry in rounds.done}),
        interrupted=rounds.interrupted or floor.interrupted,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Ready:
    """A pair that is open, with what has been trained for it."""

    pair: Pair
    shelf: Shelf


def _judge(question: Question, reference: Source, source: Source, *, ready: _Ready | None = None) -> Estimate:
    """One source against the reference."""
    question = replace(question, began=time.perf_counter())
    if ready is not None:
        return answer(question, ready.pair, shelf=ready.shelf)
    with closing(question.open(reference, source)) as pair:
        return answer(question, pair)


def _trained_ahead(question: Question, field: "_Field", held: ExitStack) -> dict[str, _Ready]:
    """Pairs that stay open in ``held``, their networks trained side by side, where that is worth it."""
    if not _worth_training_ahead(question, field):
        return {}
    ready: dict[str, _Ready] = {}
    for name, side in field.sources.items():
        with suppress(SourceError):  # is told of in its turn
            ready[name] = _Ready(pair=held.enter_context(closing(question.open(field.reference.source, side.source))), shelf={})
    (entrant,) = question.entrants
    tasks = [question.task(each.pair, each.shelf) for each in ready.values() if not each.pair.identical]
    train_ahead(entrant.recipe, [replace(task, settings=entrant.settings) for task in tasks])
    return ready


def _worth_training_ahead(question: Question, field: "_Field") -> bool:
    """On a GPU, if all samples fit the memory at once: on a CPU little is gained, and each source keeps the digits of its own
    estimation."""
    sides = [field.reference.source, *(side.source for side in field.sources.values())]
    copies = [len(field.sources), *[1] * len(field.sources)]
    nbytes = sum(n * side.nbytes for n, side in zip(copies, sides, strict=True) if isinstance(side, FiniteSource))
    return question.device.type == "cuda" and nbytes <= planned_memory()


def _several(sources: Sequence[Any]) -> list[Any]:
    several = [sources] if isinstance(sources, str | Path) else list(sources)
    if not several:
        raise UsageError("there is nothing to compare with the reference; name at least one source behind it")
    return several


@dataclass(frozen=True, kw_only=True, eq=False)
class _Field:
    """All sides, each opened and looked through, in the order in which they were named."""

    reference: Side
    sources: dict[str, Side]
    told: tuple[str, ...]
    """What no estimation will warn of again."""


def _open(
    reference: Any,
    sources: Sequence[Any],
    *,
    names: Sequence[str] | None,
    question: Question,
    images: bool,
) -> _Field:
    """Opens and checks everything, so that nothing wrong comes to light after the first training.

    Raises:
        WdistError: a source cannot be read or compared with the reference, the names do not fit, or images were asked for.
    """
    access, space = question.access, question.space
    first, found = surveyed(reference, access, seed=question.seed)
    reach = observed_range(first, found)
    if images:
        check_images(first.info)
    opened: list[tuple[Source, Source]] = []
    told: list[str] = []
    for address in sources:
        source, seen = surveyed(address, access, seed=question.seed)
        ranges = reach, observed_range(source, seen)
        if space is None:
            check_comparable(first, source, *ranges)
        else:
            told += check_scales(first, source, *ranges)
        if images:
            check_images(source.info)
        opened.append((source, source if space is None else space.of(source, ranges[1])))
    chosen = short_names([source.info.address for source, _ in opened]) if names is None else tuple(names)
    if len(chosen) != len(opened):
        raise UsageError(f"there are {len(chosen)} names for {len(opened)} sources; give each source one name")
    if len({*chosen, NOISE_FLOOR}) != len(chosen) + 1 or not all(chosen):
        raise UsageError(f"names must not be empty, must differ, and none may be {NOISE_FLOOR!r}: {', '.join(chosen)}")
    return _Field(
        reference=Side(images=first, source=first if space is None else space.of(first, reach)),
        sources={name: Side(images=shown, source=judged) for name, (shown, judged) in zip(chosen, opened, strict=True)},
        told=tuple(told),
    )


class _Rounds:
    """Results as they come, or the reasons why they do not."""

    def __init__(self) -> None:
        self.done: list[Entry] = []
        self.interrupted = False
        self._failures: dict[str, WdistError] = {}

    def run(self, name: str, result: Callable[[], Estimate], *, witnesses: Callable[..., Any] | None = None) -> None:
        """One result, unless Ctrl-C has come; what is proved when it comes is kept."""
        if self.interrupted:
            return
        try:
            found = result()
            self.interrupted = found.interrupted
            self.done.append(Entry(name=name, estimate=found))
            if witnesses is not None:
                self.done[-1] = Entry(name=name, estimate=found, witnesses=witnesses(found.critic.frozen))
        except (TrainingDiverged, CertificateError, SourceError) as failure:
            self._failures[name] = failure
        except KeyboardInterrupt:
            self.interrupted = True

    def check(self) -> None:
        """Refuses to go on with nothing.

        Raises:
            WdistError: what went wrong first; KeyboardInterrupt: Ctrl-C came before anything was there.
        """
        if not self.done:
            raise next(iter(self._failures.values()), KeyboardInterrupt())

    def warnings(self) -> Iterator[str]:
        """Of all results, with the names of their sources, and the reasons of those that are missing."""
        for entry in self.done:
            yield from (f"{entry.name}: {warning}" for warning in entry.estimate.warnings)
        yield from (f"{name} is left out: {failure}" for name, failure in self._failures.items())
