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
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from wdist.result import CriticResult, Estimate, PopulationBound, SamplesInterval
    from wdist.sources.source import SourceInfo
    from wdist.verification import Verification

METRICS = {"l2": "Euclidean metric", "l1": "L1 metric", "linf": "L-infinity metric"}
METHODS = {"welch": "Welch's t, asymptotic", "empirical-bernstein": "empirical Bernstein"}
_DIGITS = 5
_ACCENT = "bold cyan"
_COLUMNS = ("held-out\nestimate", "popul.\n>=", "K\n<=", "steps\n", "time\n", "para-\nmeters")
_NARROWEST_BAR, _WIDEST_BAR = 6, 32


def rendered(estimate: Estimate) -> RenderableType:
    """The whole result, for 72 columns and more."""
    parts: list[RenderableType] = [headline(estimate), Text(""), Text(sentence(estimate)), Text(""), critics_table(estimate)]
    parts += [Text(""), *remarks(estimate)]
    return Group(*parts)


def headline(estimate: Estimate) -> RenderableType:
    """Both intervals, the truth where it is known, and the two sources, in a panel."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(overflow="fold")
    rows.add_row("A", source_line(estimate.a))
    rows.add_row("B", source_line(estimate.b))
    rows.add_row("", "")
    if not estimate.certified:
        rows.add_row(
            "not a bound", Text(f"dual value {nearest(estimate.population.estimate, _DIGITS)}; the critic has no certificate")
        )
    else:
        rows.add_row("samples", _samples_line(estimate.samples))
        rows.add_row("populations", _population_line(estimate.population))
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
    if population.upper is not None:
        line.append(" <= ").append(at_most(population.upper, _DIGITS), style=_ACCENT)
    return line.append(
        f"    at {level(population.confidence)} confidence; held-out estimate {nearest(population.estimate, _DIGITS)}", style="dim"
    )


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
    samples, population = estimate.samples, estimate.population
    drawn = "draws" if estimate.a.count is None and estimate.b.count is None else "samples"
    held_out = f"{counted(population.n_a)} of A and {counted(population.n_b)} of B"
    if not estimate.certified:
        return (
            f"The critic {estimate.critic.name} has no certificate, so its dual value on held-out samples ({held_out}) "
            f"bounds nothing: it is not a bound for W1 ({metric}, {units})."
        )
    first = f"W1 ({metric}, {units}) between these {counted(samples.n_a)} {drawn} of A and {counted(samples.n_b)} of B is at least "
    first += _bound(samples.lower, _DIGITS)
    if samples.upper is not None and samples.exact:
        first += f"; its exact value is {nearest(samples.upper, _DIGITS)}"
    elif samples.upper is not None:
        first += f" and at most {at_most(samples.upper, _DIGITS)} ({samples.upper_method})"
    second = f"between the distributions behind them it is at least {_bound(population.lower, _DIGITS)}"
    if population.upper is not None:
        second += f" and at most {at_most(population.upper, _DIGITS)}"
    method = METHODS.get(population.method, population.method)
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
    """The critic and its baselines, best first."""
    return _CriticsTable(estimate)


class _CriticsTable:
    """A table whose bars take the columns that are left."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update(max_width=10_000)

        def left_by(padding: int, columns: tuple[str, ...]) -> int:
            return options.max_width - Measurement.get(console, unbounded, self._table(padding=padding, columns=columns)).maximum

        for padding in (1, 0):
            left = left_by(padding, _COLUMNS)
            if left >= _NARROWEST_BAR + 1 + padding:
                # Blocks of eighths need UTF-8; elsewhere bars are rows of number signs.
                width = min(left - 1 - padding, _WIDEST_BAR)
                yield self._table(padding=padding, columns=_COLUMNS, bar_width=width, blocks=not options.ascii_only)
                return
        for padding, columns in ((1, _COLUMNS), (0, _COLUMNS), (0, _COLUMNS[:-1]), (0, _COLUMNS[:-2])):
            if left_by(padding, columns) >= 0:
                break
        yield self._table(padding=padding, columns=columns)

    def _table(self, *, padding: int, columns: tuple[str, ...], bar_width: int = 0, blocks: bool = True) -> Table:
        estimate = self._estimate
        critics = sorted((estimate.critic, *estimate.baselines), key=_goodness, reverse=True)
        longest = max([critic.samples.lower for critic in critics if critic.certified] + [estimate.samples.upper or 0.0])
        table = Table(box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, show_edge=False, header_style="dim")
        table.add_column("critic\n(one budget)", no_wrap=True)
        table.add_column("samples\n>=", justify="right", no_wrap=True)
        if bar_width:
            table.add_column("", no_wrap=True, min_width=bar_width)
        for header in columns:
            table.add_column(header, justify="right", no_wrap=True)
        for critic in critics:
            main = critic is estimate.critic
            bar = [_bar(critic, longest, bar_width, blocks=blocks, main=main)] if bar_width else []
            facts = (
                nearest(critic.population.estimate),
                _bound(critic.population.lower) if critic.certified else "-",
                certificate(critic.lipschitz_bound) if critic.certified else "-",
                str(critic.steps),
                _short_duration(critic.seconds),
                compact(critic.parameters),
            )
            table.add_row(
                Text(critic.name, style="bold" if main else ""),
                Text(_bound(critic.samples.lower) if critic.certified else "not a bound", style=_ACCENT if main else ""),
                *bar,
                *(Text(fact) for fact in facts[: len(columns)]),
            )
        return table


def _bound(value: float, digits: int = 4) -> str:
    """A lower bound; a negative one says no more than that W1 is at least 0."""
    return at_least(max(value, 0.0), digits)


def _goodness(critic: CriticResult) -> tuple[bool, float]:
    return critic.certified, critic.samples.lower


def _bar(critic: CriticResult, longest: float, width: int, *, blocks: bool, main: bool) -> RenderableType:
    value = max(critic.samples.lower, 0.0) if critic.certified else 0.0
    share = min(value / longest, 1.0) if longest > 0 else 0.0
    if not blocks:
        return Text("#" * round(share * width))
    return Bar(size=1.0, begin=0.0, end=share, width=width, color="cyan" if main else "bright_black")


def _short_duration(seconds: float) -> str:
    return f"{seconds:.1f}s" if seconds < 99.95 else f"{seconds:.0f}s"


def remarks(estimate: Estimate) -> list[Text]:
    """How to read the table, how the critic was built, and what the sources noted; dim, a line or two each."""
    population = estimate.population
    reading = "K is the certificate, the critic's Lipschitz constant from above; every bound is divided by it."
    # After Ctrl-C fewer are shown than share the error.
    shown = min(1 + len(estimate.baselines), population.jointly_with)
    if shown > 1:
        reading += f" The {shown} lower bounds for the populations hold together at {level(population.confidence)}."
    if estimate.samples.upper is not None:
        reading += " Full bars reach the " + ("exact value." if estimate.samples.exact else "upper bound.")
    if estimate.tightness is not None:
        reading += " Tightness is the held-out estimate over the truth."
    settings = ", ".join(
        f"{name.replace('_', ' ')} {_setting(value)}" for name, value in estimate.critic.settings.items() if value is not None
    )
    lines = [
        Text(reading, style="dim"),
        Text(f"{estimate.critic.name}: {settings}; {_course(estimate.critic)}.", style="dim"),
        Text(f"seed {estimate.seed}, {estimate.environment.device}, {duration(estimate.seconds)} in all.", style="dim"),
    ]
    cut_short = [baseline.name for baseline in estimate.baselines if baseline.interrupted]
    if cut_short:
        lines.insert(2, Text(f"{', '.join(cut_short)}: interrupted, before the budget was spent.", style="dim"))
    for side, info in (("A", estimate.a), ("B", estimate.b)):
        lines += [Text(f"{side}: {note}", style="dim") for note in info.notes]
    return lines


def _setting(value: str | float | int) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _course(critic: CriticResult) -> str:
    if critic.interrupted:
        return "interrupted"
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
