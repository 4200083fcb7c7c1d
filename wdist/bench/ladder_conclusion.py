"""What follows from the ladders: whether ranks are right, claims are true, and twins are left alone."""

from collections.abc import Sequence

from wdist.bench.bench import Conclusion, Panel, Series
from wdist.bench.chance import most_by_chance
from wdist.bench.ladder_rows import LadderRow, OverheadRow, RungRow, TwinRow
from wdist.finding import Finding

CONFIDENCE = 0.95
_RIGHT = 0.95
"""Share of runs in which estimates are to stand in the right order."""
_OVERHEAD = 0.1


def conclude(rows: Sequence[LadderRow | TwinRow | RungRow | OverheadRow]) -> Conclusion:
    """Whether ranks are right, claims are true, and twins are left alone."""
    ladders = [row for row in rows if isinstance(row, LadderRow)]
    twins = [row for row in rows if isinstance(row, TwinRow)]
    findings = []
    if ladders:
        worst = min(ladders, key=lambda row: row.share_right)
        findings.append(
            Finding(
                claim=f"The estimates stand in the right order in at least {_RIGHT:.0%} of runs.",
                holds=all(row.share_right >= _RIGHT for row in ladders),
                detail=f"at least {worst.share_right:.1%} of {worst.runs} runs: {worst.ladder}",
            )
        )
        wrong = sum(row.wrong for row in ladders)
        findings.append(
            Finding(
                claim=f"Order is claimed wrongly in no larger share of runs than {1 - CONFIDENCE:.0%}.",
                holds=all(row.wrong <= most_by_chance(row.runs, 1 - CONFIDENCE) for row in ladders),
                detail=f"{wrong} of {sum(row.runs for row in ladders)} runs hold a wrong claim; order is claimed of "
                f"{', '.join(f'{row.share_claimed:.1%} of pairs ({row.ladder})' for row in ladders)}",
            )
        )
    if twins:
        worst_twin = min(twins, key=lambda row: row.share)
        findings.append(
            Finding(
                claim=f"Two seeds of one source come out not separable in at least {CONFIDENCE:.0%} of runs.",
                holds=all(row.runs - row.not_separable <= most_by_chance(row.runs, 1 - CONFIDENCE) for row in twins),
                detail=f"at least {worst_twin.share:.1%} of {worst_twin.runs} runs: {worst_twin.ladder}",
            )
        )
    findings += [
        Finding(
            claim=f"A comparison computes less than {_OVERHEAD:.0%} longer than its estimations would alone.",
            holds=row.overhead < _OVERHEAD,
            detail=f"{row.together:.1f} s against {row.apart:.1f} s for {row.sources} sources, {row.overhead:+.1%}",
        )
        for row in rows
        if isinstance(row, OverheadRow)
    ]
    return Conclusion(
        findings=tuple(findings),
        panels=tuple(
            _panel(row.ladder, [rung for rung in rows if isinstance(rung, RungRow) and rung.ladder == row.ladder])
            for row in ladders
        ),
        remarks=(
            f"Order is claimed where intervals of the distributions are disjoint, all at {CONFIDENCE:.0%} together; right by "
            "samples is the order of the distances between the sample sets themselves.",
        ),
    )


def _panel(ladder: str, rungs: Sequence[RungRow]) -> Panel:
    """Estimates and ends of each rung."""
    places = tuple(float(rung.place - 1) for rung in rungs)
    series = [
        Series(
            name="held-out estimate",
            x=places,
            y=tuple(rung.estimate for rung in rungs),
            errors=tuple(rung.deviation for rung in rungs),
        ),
        Series(name="lower end", x=places, y=tuple(rung.lower for rung in rungs), line=True),
    ]
    if all(rung.upper is not None for rung in rungs):
        series.append(Series(name="upper end", x=places, y=tuple(rung.upper or 0.0 for rung in rungs), line=True))
    if all(rung.truth is not None for rung in rungs):
        series.append(Series(name="truth", x=places, y=tuple(rung.truth or 0.0 for rung in rungs), reference=True))
    return Panel(
        title=ladder,
        x_label="rung: shift, or noise of each pixel",
        y_label="W1, means over runs",
        series=tuple(series),
        ticks=tuple(rung.rung for rung in rungs),
        bottom=0.0,
    )
