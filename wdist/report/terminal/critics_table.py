"""Critics of an estimate side by side: what each proves, how it was trained, and what it was chosen from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from wdist.report.numbers import at_least, certificate, compact, lower_bound, nearest, short_duration
from wdist.report.terminal.tables import ACCENT, Column, FittedTable, LengthBars

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from wdist.estimation.result import CriticResult, Estimate


def critics_table(estimate: Estimate) -> RenderableType:
    """The critics, best first: in one table, or in two where there is more to say of each."""
    critics = sorted(estimate.critics, key=lambda critic: critic.samples.lower, reverse=True)
    columns = _CriticColumns(critics, of=estimate)
    if not estimate.detailed:
        return FittedTable(
            columns.names("\ncritic"),
            columns.lowers,
            columns.estimates,
            columns.populations,
            columns.K,
            *columns.effort,
            bars=columns.bars,
        )
    parts: list[RenderableType] = [
        FittedTable(
            columns.names("what it proves\n(best first)"), columns.lowers, columns.populations, columns.validity, bars=columns.bars
        ),
        Text(""),
        FittedTable(columns.names("\nhow it was trained"), columns.training_values, columns.estimates, columns.K, *columns.effort),
    ]
    free = [each for each in critics if not each.bound_by_construction]
    if free:
        parts += [Text(""), _free_critics_table(free)]
    return Group(*parts)


class _CriticColumns:
    """Columns of a table of critics; the main one stands out.

    Arguments:
        critics: in the order of their rows.
        of: the estimate that they belong to.
    """

    def __init__(self, critics: Sequence[CriticResult], *, of: Estimate) -> None:
        self._critics, self._estimate = critics, of
        self._main = [critic is of.critic for critic in critics]

    def names(self, header: str) -> Column:
        return Column(header, [each.name for each in self._critics], ["bold" if main else "" for main in self._main], most=40)

    @property
    def lowers(self) -> Column:
        cells = [
            _spread(lower_bound(each.samples.lower), None if each.repeats is None else each.repeats.lower_deviation)
            for each in self._critics
        ]
        return Column("samples\n>=", cells, [ACCENT if main else "" for main in self._main])

    @property
    def populations(self) -> Column:
        return Column("popul.\n>=", [lower_bound(each.population.lower) for each in self._critics])

    @property
    def estimates(self) -> Column:
        cells = [
            _spread(nearest(each.population.estimate), None if each.repeats is None else each.repeats.estimate_deviation)
            for each in self._critics
        ]
        return Column("held-out\nestimate", cells)

    @property
    def training_values(self) -> Column:
        return Column("training\nvalue", [nearest(each.training_value) for each in self._critics])

    @property
    def validity(self) -> Column:
        return Column("valid\n", ["yes" if each.bound_by_construction else "over K" for each in self._critics], left=True)

    @property
    def K(self) -> Column:
        return Column("K\n<=", [certificate(each.lipschitz_bound) for each in self._critics])

    @property
    def effort(self) -> tuple[Column, ...]:
        return (
            Column("\nsteps", [str(each.steps) for each in self._critics]),
            Column("\ntime", [short_duration(each.seconds) for each in self._critics]),
            Column("para-\nmeters", [compact(each.parameters) for each in self._critics]),
        )

    @property
    def bars(self) -> LengthBars:
        bounds = [max(each.samples.lower, 0.0) for each in self._critics]
        return LengthBars(bounds, reach=max([*bounds, self._estimate.samples.upper or 0.0]), accented=self._main)


def tried_table(critic: CriticResult) -> RenderableType:
    """Candidates that a critic was chosen from, the highest validation value first."""
    tried = sorted(critic.tried, key=lambda attempt: attempt.validation, reverse=True)
    chosen = [attempt.chosen for attempt in tried]
    values = [max(attempt.validation, 0.0) for attempt in tried]
    return FittedTable(
        Column(
            "tried, and chosen\nby validation", [each.name for each in tried], ["bold" if each else "" for each in chosen], most=40
        ),
        Column("validation\nvalue", [nearest(each.validation) for each in tried], [ACCENT if each else "" for each in chosen]),
        Column("\n", ["chosen" if each else "" for each in chosen], left=True),
        Column("\nsteps", [str(each.steps) for each in tried]),
        Column("\ntime", [short_duration(each.seconds) for each in tried]),
        bars=LengthBars(values, reach=max(values), accented=chosen),
    )


def _free_critics_table(critics: list[CriticResult]) -> RenderableType:
    """Critics without a constraint: a raw value that is not a bound, and what is left of it after division by the certificate."""
    return FittedTable(
        Column("\nno constraint", [critic.name for critic in critics]),
        Column("raw value\nnot a bound", ["-" if each.raw_value is None else nearest(each.raw_value) for each in critics]),
        Column("slope\nfound", ["-" if each.largest_slope is None else at_least(each.largest_slope) for each in critics]),
        Column("K\n<=", [certificate(each.lipschitz_bound) for each in critics]),
        Column("certified\nsamples >=", [lower_bound(each.samples.lower) for each in critics]),
    )


def _spread(value: str, deviation: float | None) -> str:
    return value if deviation is None else f"{value} ±{nearest(deviation, 2)}"
