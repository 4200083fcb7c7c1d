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
    samples = Column("samples\n>=", lowers, _styled(ACCENT, main))
    estimates = Column("held-out\nestimate", values)
    populations = Column("popul.\n>=", [lower_bound(each.population.lower) for each in critics])
    effort = (
        Column("K\n<=", [certificate(each.lipschitz_bound) for each in critics]),
        Column("\nsteps", [str(each.steps) for each in critics]),
        Column("\ntime", [short_duration(each.seconds) for each in critics]),
        Column("para-\nmeters", [compact(each.parameters) for each in critics]),
    )

    def named(header: str) -> Column:
        return Column(header, [each.name for each in critics], _styled("bold", main), most=40)

    if not estimate.detailed:
        return FittedTable(named("\ncritic"), samples, estimates, populations, *effort, bars=bars)
    validity = Column("valid\n", ["yes" if each.bound_by_construction else "over K" for each in critics], left=True)
    training = Column("training\nvalue", [nearest(each.training_value) for each in critics])
    parts: list[RenderableType] = [
        FittedTable(named("what it proves\n(best first)"), samples, populations, validity, bars=bars),
        Text(""),
        FittedTable(named("\nhow it was trained"), training, estimates, *effort),
    ]
    free = [each for each in critics if not each.bound_by_construction]
    if free:
        parts += [Text(""), _free_critics_table(free)]
    return Group(*parts)


def tried_table(critic: CriticResult) -> RenderableType:
    """Candidates that a critic was chosen from, the highest validation value first."""
    tried = sorted(critic.tried, key=lambda attempt: attempt.validation, reverse=True)
    chosen = [attempt.chosen for attempt in tried]
    values = [max(attempt.validation, 0.0) for attempt in tried]
    return FittedTable(
        Column("tried, and chosen\nby validation", [each.name for each in tried], _styled("bold", chosen), most=40),
        Column("validation\nvalue", [nearest(each.validation) for each in tried], _styled(ACCENT, chosen)),
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


def _styled(style: str, accented: Sequence[bool]) -> list[str]:
    return [style if each else "" for each in accented]
