"""The critics of an estimate side by side: what each proves, how it came about, and what it was chosen from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.console import Group
from rich.text import Text

from wdist.report.numbers import at_least, certificate, compact, lower_bound, nearest, short_duration
from wdist.report.terminal.fitted_table import Bars, Column, FittedTable
from wdist.report.terminal.style import ACCENT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from wdist.estimation.result import CriticResult, Estimate


def critics_table(estimate: Estimate) -> RenderableType:
    """The critics, best first: in one table; where more is to be told of each, in one of bounds and one of how they came about."""
    critics = sorted(estimate.critics, key=_goodness, reverse=True)
    columns = _CriticColumns(critics, of=estimate)
    if not estimate.detailed:
        return FittedTable(
            columns.names("critic\n(one budget)"),
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
        FittedTable(
            columns.names("how it came about\n(one budget)"), columns.training_values, columns.estimates, columns.K, *columns.effort
        ),
    ]
    free = [each for each in critics if not each.bound_by_construction]
    if free:
        parts += [Text(""), _free_critics_table(free)]
    return Group(*parts)


class _CriticColumns:
    """The columns of a table of critics; the main one stands out.

    Arguments:
        critics: in the order of their rows.
        of: the estimate that they belong to.
    """

    def __init__(self, critics: Sequence[CriticResult], *, of: Estimate) -> None:
        self._critics, self._estimate = critics, of
        self._main = [critic is of.critic for critic in critics]

    def names(self, header: str) -> Column:
        return Column(header, [each.name for each in self._critics], ["bold" if main else "" for main in self._main])

    @property
    def lowers(self) -> Column:
        cells = [
            _spread(lower_bound(each.samples.lower), _deviations(each).lower) if each.certified else "not a bound"
            for each in self._critics
        ]
        return Column("samples\n>=", cells, [ACCENT if main else "" for main in self._main])

    @property
    def populations(self) -> Column:
        return Column("popul.\n>=", [lower_bound(each.population.lower) if each.certified else "-" for each in self._critics])

    @property
    def estimates(self) -> Column:
        cells = [_spread(nearest(each.population.estimate), _deviations(each).estimate) for each in self._critics]
        return Column("held-out\nestimate", cells)

    @property
    def training_values(self) -> Column:
        return Column("training\nvalue", [nearest(each.training_value) for each in self._critics])

    @property
    def validity(self) -> Column:
        return Column("valid\n", [_validity(each) for each in self._critics], left=True)

    @property
    def K(self) -> Column:
        return Column("K\n<=", [certificate(each.lipschitz_bound) if each.certified else "-" for each in self._critics])

    @property
    def effort(self) -> tuple[Column, ...]:
        return (
            Column("steps\n", [str(each.steps) for each in self._critics]),
            Column("time\n", [short_duration(each.seconds) for each in self._critics]),
            Column("para-\nmeters", [compact(each.parameters) for each in self._critics]),
        )

    @property
    def bars(self) -> Bars:
        bounds = [max(each.samples.lower, 0.0) if each.certified else 0.0 for each in self._critics]
        return Bars(bounds, reach=max([*bounds, self._estimate.samples.upper or 0.0]), accented=self._main)


def tried_table(critic: CriticResult) -> RenderableType:
    """What a critic was chosen from, by the value on the validation split, the highest first."""
    tried = sorted(critic.tried, key=lambda attempt: attempt.validation, reverse=True)
    chosen = [attempt.chosen for attempt in tried]
    values = [max(attempt.validation, 0.0) for attempt in tried]
    return FittedTable(
        Column("tried, and chosen\nby validation", [each.name for each in tried], ["bold" if each else "" for each in chosen]),
        Column("validation\nvalue", [nearest(each.validation) for each in tried], [ACCENT if each else "" for each in chosen]),
        Column("\n", ["chosen" if each else "" for each in chosen], left=True),
        Column("steps\n", [str(each.steps) for each in tried]),
        Column("time\n", [short_duration(each.seconds) for each in tried]),
        bars=Bars(values, reach=max(values), accented=chosen),
    )


def _free_critics_table(critics: list[CriticResult]) -> RenderableType:
    """Critics without a constraint: what one might take for a bound, why it is none, and what is left when it is made one."""
    return FittedTable(
        Column("no constraint\n", [critic.name for critic in critics]),
        Column("raw value\nnot a bound", ["-" if each.raw_value is None else nearest(each.raw_value) for each in critics]),
        Column("slope\nfound", ["-" if each.largest_slope is None else at_least(each.largest_slope) for each in critics]),
        Column("K\n<=", [certificate(each.lipschitz_bound) for each in critics]),
        Column("certified\nsamples >=", [lower_bound(each.samples.lower) if each.certified else "-" for each in critics]),
    )


def _validity(critic: CriticResult) -> str:
    if not critic.certified:
        return "no"
    return "yes" if critic.bound_by_construction else "over K"


class _Deviations(NamedTuple):
    """Over seeds; None where there was one."""

    lower: float | None = None
    estimate: float | None = None


def _deviations(critic: CriticResult) -> _Deviations:
    repeats = critic.repeats
    return _Deviations() if repeats is None else _Deviations(lower=repeats.lower_deviation, estimate=repeats.estimate_deviation)


def _spread(value: str, deviation: float | None) -> str:
    return value if deviation is None else f"{value} ±{nearest(deviation, 2)}"


def _goodness(critic: CriticResult) -> tuple[bool, float]:
    return critic.certified, critic.samples.lower
