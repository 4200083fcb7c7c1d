"""An estimate as text: the verdict, the intervals with what proves them, the critics side by side, and dim remarks."""

from collections.abc import Iterable, Iterator, Sequence
from decimal import ROUND_FLOOR

from rich.console import Group, RenderableType
from rich.text import Text

from wdist.data.sources.source import SourceInfo
from wdist.estimation.blocks import Blocks
from wdist.estimation.divergence import Divergence
from wdist.estimation.noise_floor import NoiseFloor
from wdist.estimation.result import CriticResult, Detected, Estimate, PopulationBound
from wdist.estimation.semi_discrete import SemiDiscrete
from wdist.report.numbers import (
    at_least,
    at_most,
    certificate,
    compact,
    counted,
    counted_as,
    duration,
    level,
    lower_bound,
    nearest,
    percentage,
    shape,
    short_duration,
)
from wdist.report.sentences import (
    DIGITS,
    METHODS,
    METRICS,
    about_detected,
    about_divergence,
    chosen_by_folds,
    divergence_verdict,
    held_out,
    units,
    verdict,
)
from wdist.report.terminal.tables import ACCENT, FittedTable, LengthBars, TableColumn, facts_grid, heading, lines, paragraphs

_FEW_HELD_OUT = 500
"""Cross-fitting raises most lower bounds for up to about 3,000 samples, of which a sixth is held out."""


def rendered(estimate: Estimate) -> RenderableType:
    """The whole result."""
    verdicts = [heading(verdict(estimate), interrupted=estimate.interrupted)]
    if estimate.divergence is not None:
        verdicts.append(Text(f"{divergence_verdict(estimate.divergence)}.", style="bold"))
    return paragraphs(Group(*verdicts), *body(estimate), *remarks(estimate, _advice(estimate)))


def body(estimate: Estimate) -> list[RenderableType]:
    """The intervals, the critics, and what the main one was chosen from."""
    chosen = next((critic for critic in estimate.critics if critic.tried), None)
    return [intervals(estimate), critics_table(estimate), *([] if chosen is None else [tried_table(chosen)])]


def intervals(estimate: Estimate) -> RenderableType:
    """The intervals, what proves their ends, and the truth if it is known."""
    samples, population = estimate.samples, estimate.population
    rows = facts_grid()
    rows.add_row("samples", _samples_line(estimate))
    rows.add_row("populations", _population_line(population))
    if estimate.detected is not None:
        rows.add_row("detected", _detected_line(estimate.detected))
    if estimate.block is not None:
        rows.add_row("blocks", _block_line(estimate.block))
    if estimate.noise_floor is not None:
        rows.add_row("noise floor", _floor_line(estimate.noise_floor))
    if estimate.semi_discrete is not None:
        rows.add_row("reference", _reference_line(estimate.semi_discrete))
    name, method = estimate.critic.name, METHODS[population.method]
    kinds = len(set(estimate.critic.fold_names))
    over = f"{kinds} kinds of critics" if kinds > 1 else name
    lower = f"{name}; {method}" if samples.lower_method == over else f"{samples.lower_method}; {over}, {method}"
    rows.add_row("lower bounds", Text(lower, style="dim"))
    upper = "; ".join(each for each in (samples.upper_method, population.upper_method) if each)
    if upper:
        rows.add_row("upper bounds", Text(upper, style="dim"))
    if estimate.tolerance is not None:
        asked = f"at most {level(estimate.tolerance)} was requested: "
        rows.add_row("gap", Text.assemble((asked, "dim"), ("reached", "green") if estimate.closed else ("not reached", "yellow")))
    if estimate.truth is not None:
        rows.add_row("truth", _truth_line(estimate))
    if estimate.divergence is not None:
        rows.add_row("KL samples", _divergence_of_samples(estimate.divergence))
        rows.add_row("KL popul.", _divergence_of_populations(estimate.divergence))
    return rows


def source_line(info: SourceInfo) -> Text:
    """One source: its address, size and units."""
    amount = "endless draws" if info.count is None else f"{counted(info.count)} samples"
    facts = [f"{amount} of shape {shape(info.event_shape)}", info.dtype]
    if info.columns is not None and info.count is not None:  # a column of categories has several coordinates
        facts[0] = f"{counted_as(info.count, 'row')} of {counted_as(len(info.columns), 'column')}"
    if info.units.startswith(info.dtype):
        facts[-1] = info.units
    elif info.units not in ("as stored", "of the definition", ""):
        facts.append(f"in units {info.units}" if info.units.startswith("of ") else info.units)
    if info.dropped:
        facts.append(f"{counted(info.dropped)} rows {'with missing values' if info.columns else 'that are not finite'} left out")
    return Text.assemble((info.address, "bold"), "  ", (", ".join(facts), "dim"))


def _samples_line(estimate: Estimate) -> Text:
    samples, drawn = estimate.samples, estimate.a.count is None and estimate.b.count is None
    line = bracket(samples.lower, samples.upper, exact=samples.exact)
    if samples.upper is None:
        elsewhere = drawn and estimate.population.upper is not None
        words = "between draws; upper end: see populations" if elsewhere else "no upper bound was computed"
        return line.append(f"  {words}", style="dim")
    gap = f"  gap {nearest(samples.gap or 0.0, 3)}" + (f" ({_share(samples.relative_gap)})" if samples.relative_gap else "")
    return line.append(gap, style="dim")


def _population_line(population: PopulationBound) -> Text:
    stated = f"  at {level(population.confidence)}; held-out estimate {nearest(population.estimate, DIGITS)}"
    if population.contradictory:
        stated = f"  contradictory{stated}"
    return bracket(population.lower, population.upper).append(stated, style="dim")


def _detected_line(detected: Detected) -> Text:
    ends = f"{at_least(detected.lower, DIGITS)} to {at_most(detected.upper, DIGITS)}"
    return Text.assemble((ends, ACCENT), (f"  at {level(detected.confidence)}; by the critic, on fresh samples", "dim"))


def _floor_line(floor: NoiseFloor) -> Text:
    line = Text(f"W1 = {nearest(floor.value, 4)}")
    return line.append(f"  between two parts of A, {counted(floor.n)} samples each", style="dim")


def _block_line(block: Blocks) -> Text:
    line = Text.assemble((lower_bound(block.lower, DIGITS), ACCENT), f" <= E W1 of {counted_as(block.size, 'sample')} <= ")
    line.append(at_most(block.upper, DIGITS), style=ACCENT)
    asymptotic = ", asymptotic" if block.method == "student" else ""
    within = f"  at {level(block.confidence)}{asymptotic}; within A {nearest(block.within_a, 4)}, B {nearest(block.within_b, 4)}"
    proved = f", so W1 >= {lower_bound(block.population_lower, 4)}" if block.population_lower > 0 else ""
    return line.append(f"{within}{proved}", style="dim")


def _reference_line(found: SemiDiscrete) -> Text:
    asymptotic = ", asymptotic" if found.method == "student" else ""
    note = f"  at {level(found.confidence)}{asymptotic}; from the samples of A to the distribution of B"
    return bracket(found.lower, found.upper).append(note, style="dim")


def _divergence_of_samples(divergence: Divergence) -> Text:
    samples = divergence.samples
    methods = dict.fromkeys(filter(None, (samples.lower_method, samples.upper_method)))
    return bracket(samples.lower, samples.upper, of="D").append(f" nats  by {' and '.join(methods)}", style="dim")


def _divergence_of_populations(divergence: Divergence) -> Text:
    population = divergence.population
    stated = f" nats  at {level(population.confidence)}; held-out estimate {nearest(population.estimate, DIGITS)}"
    return bracket(population.lower, population.upper, of="D").append(stated, style="dim")


def bracket(lower: float, upper: float | None, *, exact: bool = False, of: str = "W1") -> Text:
    """``1.0 <= W1 <= 1.2``; ``W1 = 1.2`` if the upper bound is exact and the lower one agrees with it to the digits shown."""
    if exact and upper is not None and upper - lower <= 10**-DIGITS * upper:
        return Text.assemble(f"{of} = ", (nearest(upper, DIGITS), ACCENT))
    line = Text.assemble((lower_bound(lower, DIGITS), ACCENT), f" <= {of}")
    if upper is not None:
        line.append(" = " if exact else " <= ").append((nearest if exact else at_most)(upper, DIGITS), style=ACCENT)
    return line


def _share(relative_gap: float) -> str:
    return "under 0.1 %" if 0 < relative_gap < 0.0005 else percentage(relative_gap)


def _truth_line(estimate: Estimate) -> Text:
    assert estimate.truth is not None
    line = Text.assemble((nearest(estimate.truth, DIGITS), ACCENT), " = W1 of the populations")
    if estimate.tightness is not None:
        line.append("  tightness ", style="dim").append(percentage(estimate.tightness, rounding=ROUND_FLOOR), style="bold")
    return line


def critics_table(estimate: Estimate) -> RenderableType:
    """The critics, best first: in one table, or in two if the estimate is detailed."""
    critics = sorted(estimate.critics, key=lambda critic: critic.samples.lower, reverse=True)
    main = [critic is estimate.critic for critic in critics]
    reach = max([*(critic.samples.lower for critic in critics), 0.0, estimate.samples.upper or 0.0])
    bars = LengthBars([max(critic.samples.lower, 0.0) for critic in critics], reach=reach, accented=main)
    lowers = [
        _spread(lower_bound(each.samples.lower), None if each.repeats is None else each.repeats.lower_deviation) for each in critics
    ]
    values = [
        _spread(nearest(each.population.estimate), None if each.repeats is None else each.repeats.estimate_deviation)
        for each in critics
    ]
    samples = TableColumn("samples\n>=", lowers, _styled(ACCENT, main))
    estimates = TableColumn("held-out\nestimate", values)
    populations = TableColumn("popul.\n>=", [lower_bound(each.population.lower) for each in critics])
    effort = (
        TableColumn("K\n<=", [certificate(each.lipschitz_bound) for each in critics]),
        TableColumn("\nsteps", [str(each.steps) for each in critics]),
        TableColumn("\ntime", [short_duration(each.seconds) for each in critics]),
        TableColumn("para-\nmeters", [compact(each.parameters) for each in critics]),
    )

    def named(header: str) -> TableColumn:
        return TableColumn(header, [each.name for each in critics], _styled("bold", main), most=40)

    if not estimate.detailed:
        return FittedTable(named("\ncritic"), samples, estimates, populations, *effort, bars=bars)
    validity = TableColumn("valid\n", ["yes" if each.bound_by_construction else "over K" for each in critics], left=True)
    training = TableColumn("training\nvalue", [nearest(each.training_value) for each in critics])
    free = [each for each in critics if not each.bound_by_construction]
    return paragraphs(
        FittedTable(named("what it proves\n(best first)"), samples, populations, validity, bars=bars),
        FittedTable(named("\nhow it was trained"), training, estimates, *effort),
        _free_critics_table(free) if free else None,
    )


def tried_table(critic: CriticResult) -> RenderableType:
    """Candidates that a critic was chosen from, the highest validation value first."""
    tried = sorted(critic.tried, key=lambda attempt: attempt.validation, reverse=True)
    chosen = [attempt.chosen for attempt in tried]
    values = [max(attempt.validation, 0.0) for attempt in tried]
    return FittedTable(
        TableColumn("tried, and chosen\nby validation", [each.name for each in tried], _styled("bold", chosen), most=40),
        TableColumn("validation\nvalue", [nearest(each.validation) for each in tried], _styled(ACCENT, chosen)),
        TableColumn("\n", ["chosen" if each else "" for each in chosen], left=True),
        TableColumn("\nsteps", [str(each.steps) for each in tried]),
        TableColumn("\ntime", [short_duration(each.seconds) for each in tried]),
        bars=LengthBars(values, reach=max(values), accented=chosen),
    )


def _free_critics_table(critics: list[CriticResult]) -> RenderableType:
    """Critics without a constraint: a raw value that is not a bound, and the bound left after division by the certificate."""
    return FittedTable(
        TableColumn("\nno constraint", [critic.name for critic in critics]),
        TableColumn("raw value\nnot a bound", ["-" if each.raw_value is None else nearest(each.raw_value) for each in critics]),
        TableColumn("slope\nfound", ["-" if each.largest_slope is None else at_least(each.largest_slope) for each in critics]),
        TableColumn("K\n<=", [certificate(each.lipschitz_bound) for each in critics]),
        TableColumn("certified\nsamples >=", [lower_bound(each.samples.lower) for each in critics]),
    )


def _spread(value: str, deviation: float | None) -> str:
    return value if deviation is None else f"{value} ±{nearest(deviation, 2)}"


def _styled(style: str, accented: Sequence[bool]) -> list[str]:
    return [style if each else "" for each in accented]


def remarks(estimate: Estimate, more: Iterable[str]) -> list[RenderableType]:
    """The sources; then how to read the tables, how the critic was trained, notes about the sources, and further sentences."""
    metric = METRICS[estimate.metric]
    facts = facts_grid()
    facts.add_row("A", source_line(estimate.a))
    facts.add_row("B", source_line(estimate.b))
    if estimate.features is not None:
        facts.add_row("features", Text(f"W1 in the space of the features {estimate.features.spec}, {estimate.features.what}"))
    facts.add_row("metric", Text(f"{metric.removesuffix(' metric')}, {units(estimate.a, estimate.b)}"))
    main = estimate.critic
    sentences = [" ".join(_reading(estimate)), f"{main.name}: {_settings(main)}; {_ending(main)}."]
    cut_short = [baseline.name for baseline in estimate.baselines if baseline.interrupted]
    if cut_short:
        sentences.append(f"{', '.join(cut_short)}: interrupted before the budget was spent.")
    sentences.append(f"seed {estimate.seed}, {estimate.environment.device}, {duration(estimate.seconds)} in total.")
    sentences += [f"{side}: {note}" for side, info, _ in _sides(estimate) for note in info.notes]
    if len(estimate.a.columns or ()) > 1 and estimate.features is None and estimate.digest_a != estimate.digest_b:
        sentences.append("wdist drift shows which columns differ.")
    return [facts, lines([*sentences, *more])]


def _reading(estimate: Estimate) -> Iterator[str]:
    """Sentences on how to read the intervals and the tables."""
    population = estimate.population
    yield "K is the certificate, an upper bound of the critic's Lipschitz constant; every bound is divided by it."
    # The error was divided among all planned bounds; after an interruption, fewer are stated.
    averaged = population.method == "cross-fitted"
    stated = len(estimate.critics) * (1 if averaged else estimate.folds or 1) + (population.upper is not None)
    shown = min(stated, population.jointly_with - (estimate.divergence is not None))
    bounds = "lower bounds" if population.upper is None else "bounds"
    holding = (
        f"The {shown} {bounds} for the populations hold together" if shown > 1 else "The lower bound for the populations holds"
    )
    yield f"{holding} at {level(population.confidence)} confidence, {held_out(population)}."
    if estimate.folds is not None:
        bound = (
            "the lower bounds for the populations rest on all of them" if averaged else "each lower bound is that of the best fold"
        )
        yield f"{_held_out_folds(len(estimate.critic.folds), estimate.folds)} held out from one training; {bound}."
        if kinds := chosen_by_folds(estimate.critic):
            yield f"The folds chose different critics ({kinds}); the tables name that of the best fold."
    if estimate.detected is not None:
        yield about_detected(estimate.detected)
    if estimate.divergence is not None:
        yield about_divergence(estimate.divergence)
    drawn = [f"{counted(n)} draws of {side}" for side, info, n in _sides(estimate) if info.count != n]
    if drawn:
        yield f"The samples are {' and '.join(drawn)}."
    if estimate.samples.upper is not None:
        yield f"Full bars reach the {'exact value' if estimate.samples.exact else 'upper bound'}."
    if estimate.tightness is not None:
        yield "Tightness is the held-out estimate divided by the truth."
    if any(not critic.bound_by_construction for critic in estimate.critics):
        yield (
            "Without a constraint a raw value is not a bound: a slope above 1 shows that it is too large, and only division by K "
            "makes it valid."
        )
    repeats = max((critic.repeats for critic in estimate.critics if critic.repeats), key=lambda each: len(each.seeds), default=None)
    if repeats is not None:
        yield (
            f"± is the standard deviation over {len(repeats.seeds)} seeds on this one split; all values are those of the first, "
            f"seed {repeats.seeds[0]}."
        )


def _held_out_folds(done: int, folds: int) -> str:
    """``Each of 5 folds was``, or ``2 of 5 folds were done, each`` after an interruption."""
    if done == folds:
        return f"Each of {folds} folds was"
    return f"{done} of {folds} folds {'was' if done == 1 else 'were'} done, each"


def _advice(estimate: Estimate) -> Iterator[str]:
    """Advice to cross-fit, if that is possible and usually raises the lower bound for the populations."""
    population = estimate.population
    few = min(population.n_a, population.n_b) <= _FEW_HELD_OUT and population.method == "welch"
    if few and estimate.undivided and estimate.detected is not None:
        yield "With --folds 5 the lower bound for the populations would rest on every sample."


def _sides(estimate: Estimate) -> tuple[tuple[str, SourceInfo, int], ...]:
    return ("A", estimate.a, estimate.samples.n_a), ("B", estimate.b, estimate.samples.n_b)


def _settings(critic: CriticResult) -> str:
    settings = ", ".join(_setting(name, value) for name, value in critic.settings.items() if value is not None)
    if not critic.tried:
        return settings
    spent = duration(sum(attempt.seconds for attempt in critic.tried))
    return f"chosen from {len(critic.tried)} critics in {spent}; {settings}"


def _setting(name: str, value: str | float | int) -> str:
    return f"{name.replace('_', ' ')} {f'{value:.3g}' if isinstance(value, float) else value}"


def _ending(critic: CriticResult) -> str:
    if critic.interrupted:
        return "interrupted"
    if critic.steps == 0:
        return "given by a formula"
    if critic.samples.gap == 0:
        return "the gap is closed"
    if critic.converged:
        return "converged"
    return "still rising when training ended: more --steps or a longer --budget may tighten the bound"
