"""What follows from the gates: whether verdicts keep to what they state, and where the question is left open."""

from collections.abc import Callable, Sequence

from wdist.bench.bench import Conclusion, Panel, Series
from wdist.bench.gate_rows import GateRow
from wdist.finding import Finding

LIMITS = (0.5, 0.8, 0.95, 1.0, 1.05, 1.25, 2.0)
"""Over the truth."""
CONFIDENCE = 0.95
_MANY, _RARE = 1000, 0.2
"""Samples of a side that decide what is far from the truth, and how seldom they may not."""


def conclude(rows: Sequence[GateRow]) -> Conclusion:
    """Whether verdicts keep to what they state, and where the question is left open."""
    findings = []
    uncertain, certain = ([row for row in rows if (row.on == on)] for on in ("population", "samples"))
    if uncertain:
        worst = max(uncertain, key=lambda row: row.share_wrong)
        gates = sum(row.runs for row in uncertain)
        findings.append(
            Finding(
                claim="Verdicts on distributions are wrong no oftener than their confidence leaves.",
                holds=all(row.holds for row in uncertain),
                detail=f"{sum(row.wrong for row in uncertain)} of {gates:,} in all; at most {worst.share_wrong:.1%} of "
                f"{worst.runs} against {worst.stated:.0%}: {worst.case}, limit {worst.limit:.3g} of the truth",
            )
        )
    if certain:
        findings.append(
            Finding(
                claim="No verdict on sample sets is wrong.",
                holds=all(row.wrong == 0 for row in certain),
                detail=f"{sum(row.wrong for row in certain)} of {sum(row.runs for row in certain):,}",
            )
        )
    far = [row for row in uncertain if row.samples >= _MANY and row.rule == "max" and row.limit in (min(LIMITS), max(LIMITS))]
    if far:
        worst = max(far, key=lambda row: row.share_inconclusive)
        findings.append(
            Finding(
                claim=f"From {_MANY} samples a side, on the line and in the plane, limits of half and twice the truth are decided.",
                holds=all(row.share_inconclusive < _RARE for row in far),
                detail=f"inconclusive {_share_inconclusive(far):.1%} of the time; most of all {worst.share_inconclusive:.1%}: "
                f"{worst.case}, limit {worst.limit:.3g} of the truth",
            )
        )
    if not rows:
        return Conclusion()
    return Conclusion(
        findings=tuple(findings),
        panels=(
            _panel("inconclusive", rows, lambda row: row.share_inconclusive),
            _panel("wrong", rows, lambda row: row.share_wrong),
        ),
        remarks=(
            f"Inconclusive over all limits: {_share_inconclusive(rows):.0%}. Below the truth a fail is right, else a pass.",
            f"Stated error: {1 - CONFIDENCE:.0%} for a maximum, the sum of two results' for a baseline, none on sample sets.",
        ),
    )


def _share_inconclusive(rows: Sequence[GateRow]) -> float:
    return sum(row.inconclusive for row in rows) / sum(row.runs for row in rows)


def _panel(title: str, rows: Sequence[GateRow], share: Callable[[GateRow], float]) -> Panel:
    """For each case, a share of its gates over the limit."""
    lines: dict[tuple[str, int], list[GateRow]] = {}
    for row in rows:
        lines.setdefault((row.case, row.samples), []).append(row)
    series = []
    for (case, samples), line in lines.items():
        line.sort(key=lambda row: row.limit)
        x, y = tuple(row.limit for row in line), tuple(share(row) for row in line)
        series.append(Series(name=f"{case}, {samples}", x=x, y=y, line=True, reference=line[0].on == "samples"))
    return Panel(
        title=title,
        x_label="limit over the truth",
        y_label="share of gates",
        level=1 - CONFIDENCE if title == "wrong" else None,
        bottom=0.0,
        series=tuple(series),
    )
