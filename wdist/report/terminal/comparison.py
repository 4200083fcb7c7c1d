"""A comparison as text: the intervals as bars on one scale, what may be said of their order, and how they came about."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Group
from rich.measure import Measurement
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from wdist.report.comparison_sentences import place, sentences
from wdist.report.numbers import at_most, compact, duration, lower_bound, nearest
from wdist.report.terminal.headline import source_line
from wdist.report.terminal.style import ACCENT, plain_table

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from wdist.comparison.ranking import Comparison

_NAME_WIDTH = 26
_NARROWEST_BAR, _WIDEST_BAR = 12, 60


def rendered_comparison(comparison: Comparison) -> RenderableType:
    """The whole result, for 72 columns and more."""
    parts: list[RenderableType] = [_head(comparison), Text(""), _Intervals(comparison), Text("")]
    parts += [Text(sentence) for sentence in sentences(comparison)]
    parts += [Text(""), _origins(comparison), Text(""), _circumstances(comparison)]
    return Group(*parts)


def _head(comparison: Comparison) -> RenderableType:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", overflow="fold", max_width=_NAME_WIDTH)
    rows.add_column(overflow="fold")
    rows.add_row("reference", source_line(comparison.reference))
    if comparison.features is not None:
        rows.add_row("features", Text(comparison.features.what))
    for entry in comparison.ranking:
        rows.add_row(Text(entry.name), source_line(entry.source))
    title = "Wasserstein-1 from one reference" + (", interrupted" if comparison.interrupted else "")
    return Panel(rows, title=Text(title, style="bold"), title_align="left", box=box.ROUNDED, padding=(0, 1))


class _Intervals:
    """The table of intervals for the distributions; bars take the columns that are left."""

    def __init__(self, comparison: Comparison) -> None:
        self._comparison = comparison
        ends = [
            end
            for entry in comparison.entries
            for end in (entry.population.lower, entry.population.estimate, entry.population.upper)
            if end is not None
        ]
        self._reach = max([*ends, 0.0]) or 1.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded = options.update(max_width=10_000)
        bare = Measurement.get(console, unbounded, self._table(0, ascii_only=options.ascii_only)).maximum
        width = min(options.max_width - bare - 3, _WIDEST_BAR)  # less what divides two columns
        yield self._table(width if width >= _NARROWEST_BAR else 0, ascii_only=options.ascii_only)

    def _table(self, width: int, *, ascii_only: bool) -> Table:
        table = plain_table(padding=2)
        table.add_column("\nplace", no_wrap=True)
        table.add_column("\nsource", overflow="fold", max_width=_NAME_WIDTH)
        for header in ("held-out\nestimate", "distrib.\nW1 >=", "\nW1 <="):
            table.add_column(header, justify="right", no_wrap=True)
        if width:
            end = at_most(self._reach, 3)
            table.add_column("\n0" + end.rjust(width - 1), no_wrap=True, min_width=width)
        for entry in self._comparison.entries:
            ranked = entry is not self._comparison.noise_floor
            population = entry.population
            interrupted = ", interrupted" if entry.estimate.interrupted else ""
            cells = [
                Text(place(self._comparison, entry)),
                Text(entry.name, style="bold" if ranked else "dim").append(interrupted, style="yellow"),
                Text(nearest(population.estimate)),
                Text(lower_bound(population.lower), style=ACCENT if ranked else ""),
                Text("none" if population.upper is None else at_most(population.upper), style=ACCENT if ranked else ""),
            ]
            if width:
                ends = (max(population.lower, 0.0), population.estimate, population.upper)
                bar = interval_bar(*ends, reach=self._reach, width=width, ascii_only=ascii_only)
                cells.append(Text(bar, style="cyan" if ranked else "bright_black"))
            table.add_row(*cells)
        return table


def interval_bar(lower: float, estimate: float, upper: float | None, *, reach: float, width: int, ascii_only: bool = False) -> str:
    """An interval as characters, its estimate marked; without an upper end it runs out of the picture.

    Arguments:
        lower, estimate, upper: not negative but for the estimate; None for no upper end.
        reach: the value at the right end.
        width: characters.
    """
    line, dot, arrow = ("=", "o", ">") if ascii_only else ("━", "●", "▶")

    def at(value: float) -> int:
        return min(max(int(value / reach * width), 0), width - 1)

    first, last = at(lower), width - 1 if upper is None else at(upper)
    cells = [" "] * first + [line] * (last - first + 1)
    if upper is None:
        cells[last] = arrow
    mark = min(at(estimate), width - 2) if upper is None else at(estimate)
    cells += [" "] * (mark + 1 - len(cells))
    cells[mark] = dot
    return "".join(cells)


def _origins(comparison: Comparison) -> RenderableType:
    """The sample sets themselves, and how each result came about."""
    table = plain_table()
    table.add_column("\nsource", overflow="fold", max_width=_NAME_WIDTH)
    for header in ("samples\nW1 >=", "\nW1 <=", "of ref.\nsamples", "of the\nsource"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("\ncritic", overflow="fold")
    table.add_column("\nsteps", justify="right", no_wrap=True)
    table.add_column("\ntime", justify="right", no_wrap=True)
    for entry in comparison.entries:
        samples, critic = entry.samples, entry.estimate.critic
        table.add_row(
            Text(entry.name, style="dim" if entry is comparison.noise_floor else ""),
            Text(lower_bound(samples.lower)),
            Text("none" if samples.upper is None else at_most(samples.upper)),
            Text(compact(samples.n_a)),
            Text(compact(samples.n_b)),
            Text(critic.name),
            Text(str(critic.steps)),
            Text(duration(entry.estimate.seconds)),
        )
    return table


def _circumstances(comparison: Comparison) -> RenderableType:
    lines = [f"seed {comparison.seed}, {comparison.environment.device}, {duration(comparison.seconds)} in all."]
    unsettled = [entry.name for entry in comparison.ranking if not entry.estimate.converged]
    if unsettled:
        told = "Still rising when the budget ended, so that a longer --budget may tighten their lower ends"
        lines.insert(0, f"{told}: {', '.join(unsettled)}.")
    if comparison.left_out:
        lines.insert(0, f"There is no result of {', '.join(comparison.left_out)}.")
    return Group(*(Text(line, style="dim") for line in lines))
