"""A comparison as text: the verdict, the intervals as bars on one scale, open questions, and the origin of each result."""

from collections.abc import Iterator, Sequence
from itertools import pairwise

from rich.console import Group, RenderableType
from rich.text import Text

from wdist.comparison.ranking import Comparison
from wdist.report.numbers import at_most, compact, duration, lower_bound, nearest
from wdist.report.rankings import LEVELS, comparison_sentences, deciding, levels_of_order, levels_shown, place, proved_order
from wdist.report.terminal.estimate import source_line
from wdist.report.terminal.tables import ACCENT, FittedTable, TableColumn, facts_grid, heading, lines, paragraphs

_NAME_WIDTH = 26


def rendered_comparison(comparison: Comparison) -> RenderableType:
    """The whole result."""
    first = heading(proved_order(comparison), interrupted=comparison.interrupted)
    sources = facts_grid(most=_NAME_WIDTH)
    sources.add_row("reference", source_line(comparison.reference))
    if comparison.features is not None:
        sources.add_row("features", Text(comparison.features.what))
    for entry in comparison.ranking:
        sources.add_row(Text(entry.name), source_line(entry.source))
    levels = lines(f"{line}." for line in levels_of_order(comparison))
    return paragraphs(
        first,
        _intervals(comparison),
        Group(_neighbours(comparison), levels) if len(comparison.ranking) > 1 else None,
        lines(comparison_sentences(comparison), ""),
        _origins(comparison),
        sources,
        lines(_circumstances(comparison)),
    )


def _intervals(comparison: Comparison) -> RenderableType:
    """The intervals for the distributions; bars take the spare columns."""
    entries = comparison.entries
    ranked = [entry is not comparison.noise_floor for entry in entries]
    accents = [ACCENT if each else "" for each in ranked]
    names = [
        Text(entry.name, style="bold" if each else "dim").append(
            ", interrupted" if entry.estimate.interrupted else "", style="yellow"
        )
        for entry, each in zip(entries, ranked, strict=True)
    ]
    uppers = [entry.population.upper for entry in entries]
    return FittedTable(
        TableColumn("\nsource", names, most=_NAME_WIDTH),
        TableColumn("\ndetected", [nearest(comparison.detected(entry)) for entry in entries]),
        TableColumn("distrib.\nW1 >=", [lower_bound(entry.population.lower) for entry in entries], accents),
        TableColumn("\nW1 <=", ["none" if upper is None else at_most(upper) for upper in uppers], accents),
        TableColumn("\nplace", [place(comparison, entry) for entry in entries]),
        bars=_IntervalBars(
            [(entry.population.lower, comparison.detected(entry), entry.population.upper) for entry in entries], ranked
        ),
        padding=2,
    )


class _IntervalBars:
    """Intervals (lower end, estimate and upper end) on one scale from 0; muted if they are not ranked."""

    after, narrowest, widest = 4, 12, 60

    def __init__(self, intervals: Sequence[tuple[float, float, float | None]], ranked: Sequence[bool]) -> None:
        self._intervals, self._ranked = intervals, ranked
        self._reach = max([*(end for ends in intervals for end in ends if end is not None), 0.0]) or 1.0

    def header(self, width: int) -> str:
        return "\n0" + at_most(self._reach, 3).rjust(width - 1)

    def cells(self, width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        return [
            Text(
                interval_bar(max(lower, 0.0), estimate, upper, reach=self._reach, width=width, ascii_only=ascii_only),
                style="cyan" if ranked else "bright_black",
            )
            for (lower, estimate, upper), ranked in zip(self._intervals, self._ranked, strict=True)
        ]


def interval_bar(lower: float, estimate: float, upper: float | None, *, reach: float, width: int, ascii_only: bool) -> str:
    """An interval as characters, with its estimate marked; the scale ends at ``reach``, as does an interval without upper end."""
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


def _neighbours(comparison: Comparison) -> RenderableType:
    """Neighbours of the ranking, and the levels at which their order is claimed; the strongest level stands out."""
    pairs = list(pairwise(comparison.ranking))
    said = [deciding(comparison, near, far) for near, far in pairs]
    first = [next((each for each in list(LEVELS)[1:] if not row[each].startswith("open")), None) for row in said]
    titles = levels_shown(comparison)
    if len(titles) == len(LEVELS):
        titles["population"] = "popul."  # so that all levels fit into 80 columns
    columns = [
        TableColumn(title, [row[name] for row in said], [ACCENT if name == each else "" for each in first], left=True)
        for name, title in titles.items()
    ]
    return FittedTable(
        TableColumn("nearer", [near.name for near, _ in pairs], left=True, most=_NAME_WIDTH),
        TableColumn("farther", [far.name for _, far in pairs], left=True, most=_NAME_WIDTH),
        *columns,
        padding=2,
    )


def _origins(comparison: Comparison) -> RenderableType:
    """The sample sets themselves, and the origin of each result."""
    entries = comparison.entries
    samples = [entry.samples for entry in entries]
    critics = [entry.estimate.critic for entry in entries]
    names = [Text(entry.name, style="dim" if entry is comparison.noise_floor else "") for entry in entries]
    return FittedTable(
        TableColumn("\nsource", names, most=_NAME_WIDTH),
        TableColumn("samples\nW1 >=", [lower_bound(each.lower) for each in samples]),
        TableColumn("\nW1 <=", ["none" if each.upper is None else at_most(each.upper) for each in samples]),
        TableColumn("of ref.\nsamples", [compact(each.n_a) for each in samples]),
        TableColumn("of the\nsource", [compact(each.n_b) for each in samples]),
        TableColumn("\ncritic", [each.name for each in critics], left=True, most=_NAME_WIDTH),
        TableColumn("\nsteps", [str(each.steps) for each in critics]),
        TableColumn("\ntime", [duration(entry.estimate.seconds) for entry in entries]),
    )


def _circumstances(comparison: Comparison) -> Iterator[str]:
    if comparison.left_out:
        yield f"No result for {', '.join(comparison.left_out)}."
    unsettled = [entry.name for entry in comparison.ranking if not entry.estimate.converged]
    if unsettled and not comparison.orders.detected.withheld:
        names = ", ".join(unsettled)
        yield f"Still rising when training ended, so more --steps or a longer --budget may tighten the lower bounds: {names}."
    yield f"seed {comparison.seed}, {comparison.environment.device}, {duration(comparison.seconds)} in total."
