"""A result as text: the interval, what it means in one sentence, and the critics side by side."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from decimal import ROUND_FLOOR
from typing import TYPE_CHECKING, Any

from rich import box
from rich.bar import Bar
from rich.console import Group
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wdist.report.numbers import at_least, at_most, certificate, compact, counted, duration, level, nearest, percentage, shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from wdist.result import CriticResult, Estimate, PopulationBound, SamplesInterval
    from wdist.sources.source import SourceInfo
    from wdist.verification import Verification

METRICS = {"l2": "Euclidean metric", "l1": "L1 metric", "linf": "L-infinity metric"}
METHODS = {"welch": "Welch's t, asymptotic", "empirical-bernstein": "empirical Bernstein", "betting": "betting"}
"""Of confidence, as a reader knows them."""
_DIGITS = 5
_ACCENT = "bold cyan"
_NARROWEST_BAR, _WIDEST_BAR = 6, 32
_PROOF_WIDTH = 60
"""Characters in which both ends' proofs stand on one line."""


def rendered(estimate: Estimate) -> RenderableType:
    """The whole result, for 72 columns and more."""
    parts: list[RenderableType] = [headline(estimate), Text(""), Text(sentence(estimate)), Text(""), critics_table(estimate)]
    chosen = next((critic for critic in estimate.critics if critic.tried), None)
    if chosen is not None:
        parts += [Text(""), tried_table(chosen)]
    parts += [Text(""), *remarks(estimate)]
    return Group(*parts)


def headline(estimate: Estimate) -> RenderableType:
    """Both intervals, the truth where it is known, and the two sources, in a panel."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("A", source_line(estimate.a))
    rows.add_row("B", source_line(estimate.b))
    if estimate.features is not None:
        rows.add_row("features", Text(estimate.features.what))
    rows.add_row("", "")
    if not estimate.certified:
        rows.add_row(
            "not a bound", Text(f"dual value {nearest(estimate.population.estimate, _DIGITS)}; the critic has no certificate")
        )
    else:
        rows.add_row("samples", _samples_line(estimate.samples))
        _add_proof(rows, estimate.samples.lower_method, estimate.samples.upper_method)
        if estimate.tolerance is not None:
            rows.add_row("", _tolerance_line(estimate, estimate.tolerance))
        rows.add_row("populations", _population_line(estimate.population))
        if estimate.population.upper_method is not None:
            method = METHODS.get(estimate.population.method, estimate.population.method)
            _add_proof(rows, f"{estimate.critic.name}, {method}", estimate.population.upper_method)
    if estimate.truth is not None:
        rows.add_row("truth", _truth_line(estimate))
    title = "Wasserstein-1" + (", interrupted" if estimate.interrupted else "")
    return Panel(rows, title=Text(title, style="bold"), title_align="left", box=box.ROUNDED, padding=(0, 1))


def source_line(info: SourceInfo) -> Text:
    """One source: its address, how much it holds, and in which units."""
    amount = "endless draws" if info.count is None else f"{counted(info.count)} samples"
    facts = [f"{amount} of shape {shape(info.event_shape)}", info.dtype]
    if info.units.startswith(info.dtype):
        facts[-1] = info.units
    elif info.units not in ("as stored", "of the definition", ""):
        facts.append(info.units)
    if info.dropped:
        facts.append(f"{counted(info.dropped)} rows that are not finite left out")
    return Text.assemble((info.address, "bold"), "  ", (", ".join(facts), "dim"))


def _samples_line(samples: SamplesInterval) -> Text:
    line = Text.assemble((_bound(samples.lower, _DIGITS), _ACCENT), " <= W1")
    if samples.upper is None:
        return line.append("    no upper bound was computed", style="dim")
    if samples.exact:
        line.append(" = ").append(nearest(samples.upper, _DIGITS), style=_ACCENT)
    else:
        line.append(" <= ").append(at_most(samples.upper, _DIGITS), style=_ACCENT)
    gap = f"    gap {nearest(samples.gap or 0.0, 3)}"
    if samples.relative_gap:
        gap += f" ({_share(samples.relative_gap)})"
    return line.append(gap, style="dim")


def _population_line(population: PopulationBound) -> Text:
    line = Text.assemble((_bound(population.lower, _DIGITS), _ACCENT), " <= W1")
    stated = f"at {level(population.confidence)}"
    if population.upper is not None:
        line.append(" <= ").append(at_most(population.upper, _DIGITS), style=_ACCENT)
    else:
        stated += " confidence"  # both ends leave no room for it on 80 columns; the sentence below says it
    return line.append(f"    {stated}; held-out estimate {nearest(population.estimate, _DIGITS)}", style="dim")


def _add_proof(rows: Table, below: str, above: str | None) -> None:
    """What proves the two ends of the interval in the row above."""
    ends = [f"{side}: {method}" for side, method in (("from below", below), ("from above", above)) if method]
    if ends:
        separator = "; " if sum(map(len, ends)) < _PROOF_WIDTH else "\n"
        rows.add_row("", Text(separator.join(ends), style="dim"))


def _tolerance_line(estimate: Estimate, tolerance: float) -> Text:
    asked = f"a gap of at most {level(tolerance)} was asked for: "
    answer = ("reached", "green") if estimate.closed else ("not reached", "yellow")
    return Text.assemble((asked, "dim"), answer)


def _share(relative_gap: float) -> str:
    return "under 0.1 %" if 0 < relative_gap < 0.0005 else percentage(relative_gap)


def _truth_line(estimate: Estimate) -> Text:
    assert estimate.truth is not None
    line = Text.assemble((nearest(estimate.truth, _DIGITS), _ACCENT), " = W1 of the populations")
    if estimate.tightness is not None:
        line.append("    tightness ", style="dim").append(percentage(estimate.tightness, rounding=ROUND_FLOOR), style="bold")
    return line


def sentence(estimate: Estimate) -> str:
    """What is bounded, in which metric and units, at what confidence, from how many samples."""
    metric = METRICS.get(estimate.metric, estimate.metric)
    units = _units(estimate)
    distance = "W1" if estimate.features is None else f"W1 in the space of the features {estimate.features.spec}"
    samples, population = estimate.samples, estimate.population
    drawn = "draws" if estimate.a.count is None and estimate.b.count is None else "samples"
    held_out = f"{counted(population.n_a)} of A and {counted(population.n_b)} of B"
    if not estimate.certified:
        return (
            f"The critic {estimate.critic.name} has no certificate, so its dual value on held-out samples ({held_out}) "
            f"bounds nothing: it is not a bound for {distance} ({metric}, {units})."
        )
    sets = f"these {counted(samples.n_a)} {drawn} of A and {counted(samples.n_b)} of B"
    first = f"{distance} ({metric}, {units}) between {sets} is at least {_bound(samples.lower, _DIGITS)}"
    if samples.upper is not None and samples.exact:
        first += f"; its exact value is {nearest(samples.upper, _DIGITS)}"
    elif samples.upper is not None:
        first += f" and at most {at_most(samples.upper, _DIGITS)}"
    second = f"between the distributions behind them it is at least {_bound(population.lower, _DIGITS)}"
    if population.upper is not None:
        second += f" and at most {at_most(population.upper, _DIGITS)}"
    method = METHODS.get(population.method, population.method)
    if population.upper is not None and population.upper_method is not None:
        method = f"below by {method}; above by {population.upper_method}"
    second += f" with {level(population.confidence)} confidence ({method}), from {held_out} held out of every choice"
    return f"{first}; {second}."


def _units(estimate: Estimate) -> str:
    def worded(info: SourceInfo) -> str:
        if info.units in ("as stored", ""):
            return "in the units of the data"
        return f"in the units {info.units}" if info.units.startswith("of ") else f"values {info.units}"

    if estimate.a.units == estimate.b.units:
        return worded(estimate.a)
    return f"A {worded(estimate.a)}, B {worded(estimate.b)}"


def critics_table(estimate: Estimate) -> RenderableType:
    """The critics, best first: in one table; where more is to be told of each, in one of bounds and one of how they came about."""
    critics = sorted(estimate.critics, key=_goodness, reverse=True)
    styles = ["bold" if critic is estimate.critic else "" for critic in critics]
    accents = [_ACCENT if critic is estimate.critic else "" for critic in critics]
    names = [critic.name for critic in critics]
    lowers = [_spread(_bound(each.samples.lower), _lower_deviation(each)) if each.certified else "not a bound" for each in critics]
    samples = _Column("samples\n>=", lowers, accents)
    populations = [_bound(each.population.lower) if each.certified else "-" for each in critics]
    estimates = [_spread(nearest(each.population.estimate), _estimate_deviation(each)) for each in critics]
    K = _Column("K\n<=", [certificate(each.lipschitz_bound) if each.certified else "-" for each in critics])
    effort = [
        _Column("steps\n", [str(each.steps) for each in critics]),
        _Column("time\n", [_short_duration(each.seconds) for each in critics]),
        _Column("para-\nmeters", [compact(each.parameters) for each in critics]),
    ]
    bounds = [max(each.samples.lower, 0.0) if each.certified else 0.0 for each in critics]
    main = [critic is estimate.critic for critic in critics]
    bars = _Bars(bounds, reach=max([*bounds, estimate.samples.upper or 0.0]), accented=main)
    if not estimate.detailed:
        return _CriticsTable(
            _Column("critic\n(one budget)", names, styles),
            samples,
            _Column("held-out\nestimate", estimates),
            _Column("popul.\n>=", populations),
            K,
            *effort,
            bars=bars,
        )
    parts: list[RenderableType] = [
        _CriticsTable(
            _Column("what it proves\n(best first)", names, styles),
            samples,
            _Column("popul.\n>=", populations),
            _Column("valid\n", [_validity(each) for each in critics], left=True),
            bars=bars,
        ),
        Text(""),
        _CriticsTable(
            _Column("how it came about\n(one budget)", names, styles),
            _Column("training\nvalue", [nearest(each.training_value) for each in critics]),
            _Column("held-out\nestimate", estimates),
            K,
            *effort,
        ),
    ]
    free = [each for each in critics if not each.bound_by_construction]
    if free:
        parts += [Text(""), _free_critics_table(free)]
    return Group(*parts)


def tried_table(critic: CriticResult) -> RenderableType:
    """What a critic was chosen from, by the value on the validation split, the highest first."""
    tried = sorted(critic.tried, key=lambda attempt: attempt.validation, reverse=True)
    chosen = [attempt.chosen for attempt in tried]
    values = [max(attempt.validation, 0.0) for attempt in tried]
    return _CriticsTable(
        _Column("tried, and chosen\nby validation", [each.name for each in tried], ["bold" if each else "" for each in chosen]),
        _Column("validation\nvalue", [nearest(each.validation) for each in tried], [_ACCENT if each else "" for each in chosen]),
        _Column("\n", ["chosen" if each else "" for each in chosen], left=True),
        _Column("steps\n", [str(each.steps) for each in tried]),
        _Column("time\n", [_short_duration(each.seconds) for each in tried]),
        bars=_Bars(values, reach=max(values), accented=chosen),
    )


def _free_critics_table(critics: list[CriticResult]) -> RenderableType:
    """Critics without a constraint: what one might take for a bound, why it is none, and what is left when it is made one."""
    return _CriticsTable(
        _Column("no constraint\n", [critic.name for critic in critics]),
        _Column("raw value\nnot a bound", ["-" if each.raw_value is None else nearest(each.raw_value) for each in critics]),
        _Column("slope\nfound", ["-" if each.largest_slope is None else at_least(each.largest_slope) for each in critics]),
        _Column("K\n<=", [certificate(each.lipschitz_bound) for each in critics]),
        _Column("certified\nsamples >=", [_bound(each.samples.lower) if each.certified else "-" for each in critics]),
    )


def _validity(critic: CriticResult) -> str:
    if not critic.certified:
        return "no"
    return "yes" if critic.bound_by_construction else "over K"


def _lower_deviation(critic: CriticResult) -> float | None:
    return critic.repeats.lower_deviation if critic.repeats else None


def _estimate_deviation(critic: CriticResult) -> float | None:
    return critic.repeats.estimate_deviation if critic.repeats else None


def _spread(value: str, deviation: float | None) -> str:
    return value if deviation is None else f"{value} ±{nearest(deviation, 2)}"


class _Column:
    """Header and cells of a table, top to bottom."""

    def __init__(self, header: str, cells: Sequence[str], styles: Sequence[str] = (), *, left: bool = False) -> None:
        self.header, self.left = header, left
        self._cells, self._styles = cells, styles or [""] * len(cells)

    def cells(self, *, ascii_only: bool) -> list[Text]:
        texts = [text.replace("±", "+-") for text in self._cells] if ascii_only else self._cells
        return [Text(text, style=style) for text, style in zip(texts, self._styles, strict=True)]


class _Bars:
    """A bar for each row of a table.

    Arguments:
        values: none of them negative.
        reach: the value of a full bar.
        accented: for each, whether it is the one to look at.
    """

    def __init__(self, values: Sequence[float], *, reach: float, accented: Sequence[bool]) -> None:
        self._shares = [min(value / reach, 1.0) if reach > 0 else 0.0 for value in values]
        self._colours = ["cyan" if each else "bright_black" for each in accented]

    def cells(self, width: int, *, ascii_only: bool) -> list[RenderableType]:
        if ascii_only:  # blocks of eighths need UTF-8
            return [Text("#" * round(share * width)) for share in self._shares]
        return [
            Bar(size=1.0, begin=0.0, end=share, width=width, color=colour)
            for share, colour in zip(self._shares, self._colours, strict=True)
        ]


class _CriticsTable:
    """A table that fills its terminal: bars take the columns that are left; where none are, padding goes, then the last columns."""

    def __init__(self, *columns: _Column, bars: _Bars | None = None) -> None:
        self._columns, self._bars = columns, bars

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded, ascii_only = options.update(max_width=10_000), options.ascii_only

        def left_by(padding: int, columns: int) -> int:
            table = self._table(padding=padding, columns=columns, ascii_only=ascii_only)
            return options.max_width - Measurement.get(console, unbounded, table).maximum

        every = len(self._columns)
        if self._bars is not None:
            for padding in (1, 0):
                width = min(left_by(padding, every) - 1 - padding, _WIDEST_BAR)
                if width >= _NARROWEST_BAR:
                    yield self._table(padding=padding, columns=every, ascii_only=ascii_only, bar_width=width)
                    return
        for padding, columns in ((1, every), *((0, columns) for columns in range(every, 1, -1))):
            if left_by(padding, columns) >= 0:
                break
        yield self._table(padding=padding, columns=columns, ascii_only=ascii_only)

    def _table(self, *, padding: int, columns: int, ascii_only: bool, bar_width: int = 0) -> Table:
        table = Table(box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
        cells: list[Sequence[RenderableType]] = []
        for i, column in enumerate(self._columns[:columns]):
            # A name too long for any terminal goes on in the next line; a number is never cut.
            table.add_column(
                column.header,
                justify="left" if i == 0 or column.left else "right",
                no_wrap=i > 0,
                overflow="ellipsis" if i else "fold",
            )
            cells.append(column.cells(ascii_only=ascii_only))
            if i == 1 and bar_width and self._bars is not None:
                table.add_column("", no_wrap=True, min_width=bar_width)
                cells.append(self._bars.cells(bar_width, ascii_only=ascii_only))
        for row in zip(*cells, strict=True):
            table.add_row(*row)
        return table


def _bound(value: float, digits: int = 4) -> str:
    """A lower bound; a negative one says no more than that W1 is at least 0."""
    return at_least(max(value, 0.0), digits)


def _goodness(critic: CriticResult) -> tuple[bool, float]:
    return critic.certified, critic.samples.lower


def _short_duration(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 99.95 else f"{seconds:.0f}s"


def remarks(estimate: Estimate) -> list[Text]:
    """How to read the table, how the critic was built, and what the sources noted; dim, a line or two each."""
    population = estimate.population
    reading = "K is the certificate, the critic's Lipschitz constant from above; every bound is divided by it."
    # After Ctrl-C fewer are shown than share the error.
    shown = min(1 + len(estimate.baselines) + (population.upper is not None), population.jointly_with)
    if shown > 1:
        bounds = "lower bounds" if population.upper is None else "bounds"
        reading += f" The {shown} {bounds} for the populations hold together at {level(population.confidence)}."
    if estimate.samples.upper is not None:
        reading += " Full bars reach the " + ("exact value." if estimate.samples.exact else "upper bound.")
    if estimate.tightness is not None:
        reading += " Tightness is the held-out estimate over the truth."
    if any(not critic.bound_by_construction for critic in estimate.critics):
        reading += (
            " Where nothing constrains a critic, its raw value is no bound: a slope above 1 that was found shows it too large, "
            "and only the division by K makes it valid."
        )
    repeats = max((critic.repeats for critic in estimate.critics if critic.repeats), key=lambda each: len(each.seeds), default=None)
    if repeats is not None:
        reading += (
            f" ± is the standard deviation over {len(repeats.seeds)} seeds on this one split; all values are those of seed "
            f"{repeats.seeds[0]}, the first."
        )
    settings = ", ".join(
        f"{name.replace('_', ' ')} {_setting(value)}" for name, value in estimate.critic.settings.items() if value is not None
    )
    lines = [
        Text(reading, style="dim"),
        Text(f"{estimate.critic.name}: {_choice(estimate.critic)}{settings}; {_course(estimate.critic)}.", style="dim"),
        Text(f"seed {estimate.seed}, {estimate.environment.device}, {duration(estimate.seconds)} in all.", style="dim"),
    ]
    cut_short = [baseline.name for baseline in estimate.baselines if baseline.interrupted]
    if cut_short:
        lines.insert(2, Text(f"{', '.join(cut_short)}: interrupted, before the budget was spent.", style="dim"))
    for side, info in (("A", estimate.a), ("B", estimate.b)):
        lines += [Text(f"{side}: {note}", style="dim") for note in info.notes]
    return lines


def _choice(critic: CriticResult) -> str:
    if not critic.tried:
        return ""
    return f"chosen after {duration(sum(attempt.seconds for attempt in critic.tried))} of trying; "


def _setting(value: str | float | int) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _course(critic: CriticResult) -> str:
    if critic.interrupted:
        return "interrupted"
    if critic.steps == 0:
        return "follows from a formula"
    if critic.samples.gap == 0:
        return "nothing is left to gain"
    return "converged" if critic.converged else "still rising when the budget ended, so a longer --budget may tighten the bound"


def rendered_verification(verification: Verification) -> RenderableType:
    """What was re-computed from a saved critic, finding by finding, and the verdict."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    table.add_column("checked")
    table.add_column("", no_wrap=True)
    table.add_column("finding", overflow="fold")
    for finding in verification.findings:
        answer = Text("yes", style="green") if finding.ok else Text("NO", style="bold red")
        table.add_row(Text(finding.what), answer, Text(finding.detail))
    numbers = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
    for header in ("", "claimed", "re-computed"):
        numbers.add_column(header, justify="right" if header else "left", no_wrap=True)
    numbers.add_row(
        "certificate K <=", certificate(verification.claimed_lipschitz_bound), certificate(verification.lipschitz_bound)
    )
    for name, claimed, found in (
        ("samples W1 >=", verification.claimed_lower, verification.lower),
        ("populations W1 >=", verification.claimed_population_lower, verification.population_lower),
    ):
        numbers.add_row(name, *(_bound(value, 2 * _DIGITS) for value in (claimed, found)))
    verdict = (
        Text.assemble(("verified: ", "bold green"), "weights, samples and claimed numbers agree.")
        if verification.ok
        else Text.assemble(("NOT VERIFIED: ", "bold red"), "the claim does not follow from these weights and samples.")
    )
    return Group(table, Text(""), numbers, Text(""), verdict)


def rendered_facts(facts: Any) -> RenderableType:
    """The fields of a dataclass, a line each, in their order; fields without a value are left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for fact in fields(facts):
        value = getattr(facts, fact.name)
        if value is not None and value != ():
            table.add_row(fact.name.replace("_", " "), Text(_fact(value, fact.name)))
    return table


def _fact(value: Any, name: str) -> str:
    match value:
        case bool():
            return "yes" if value else "no"
        case int():
            return counted(value)
        case float():
            shown = nearest(value, 6)
            return shown.rstrip("0").rstrip(".") if "." in shown and "e" not in shown else shown
        case tuple() | list() if name.endswith("shape"):
            return shape(tuple(value))
        case tuple() | list():
            separator = "\n" if any(isinstance(part, str) and len(part) > 20 for part in value) else ", "
            return separator.join(_fact(part, "") for part in value)
        case dict():
            return "\n".join(f"{key}: {_fact(part, '')}" for key, part in value.items())
        case _ if is_dataclass(value):
            return ", ".join(
                f"{fact.name.replace('_', ' ')} {_fact(getattr(value, fact.name), fact.name)}" for fact in fields(value)
            )
        case _:
            return str(value)
