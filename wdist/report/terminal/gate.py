"""Verdicts as text: the answer first, then what it rests on."""

from collections.abc import Iterator

from rich.bar import Bar
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from wdist.estimation.transport_bounds import SHORT_OF_MEMORY
from wdist.gates.gate import GateResult
from wdist.gates.rules import Interval
from wdist.report.numbers import at_most, level, lower_bound
from wdist.report.sentences import ESTIMANDS, marks
from wdist.report.terminal import estimate
from wdist.report.terminal.tables import paragraphs

_COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_BEYOND = 1.08
"""End of a scale, as a multiple of its largest number."""


def rendered_gate(result: GateResult) -> RenderableType:
    """The verdict, the limits on a scale, and the estimate that it rests on."""
    body, remarks = estimate.body(result.estimate), estimate.remarks(result.estimate, _judgement(result))
    return paragraphs(_verdict_lines(result), _Scale(result), *body, *remarks)


def _verdict_lines(result: GateResult) -> RenderableType:
    lines = Table.grid(padding=(0, 1))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    rows = [(judged.verdict.answer.value, judged.verdict.reason) for judged in result.judged]
    whole = result.answer.value
    headline = rows.pop()[1] if len(rows) == 1 else f"on {len(rows)} rules together:"
    for answer, words in [(whole.upper(), headline), *rows]:
        lines.add_row(Text(answer, style=f"bold {_COLOURS[answer.lower()]}"), Text(words))
    for way in result.verdict.suggestions:
        lines.add_row("", Text(way, style="dim"))
    return lines


class _Scale:
    """The interval and the limits, one above the other on one scale from 0."""

    def __init__(self, result: GateResult) -> None:
        self._result = result
        self._colour = _COLOURS[result.answer.value]
        self._marks = list(marks(result))
        interval = result.interval
        numbers = [interval.lower, *(number for _, number, _ in self._marks)]
        self._reach = _BEYOND * max([*numbers, *([] if interval.upper is None else [interval.upper])]) or 1.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        labels = [ESTIMANDS[self._result.on], *(label for label, _, _ in self._marks)]
        values = [_ends(self._result.interval), *(shown for _, _, shown in self._marks)]
        width = options.max_width - max(map(len, labels)) - max(map(len, values)) - 4
        grid = Table.grid(padding=(0, 2))
        if width < 12:
            for label, value in zip(labels, values, strict=True):
                grid.add_row(Text(label, style="dim"), Text(value))
            yield grid
            return
        for _ in range(3):
            grid.add_column(no_wrap=True)
        grid.add_row(Text(labels[0], style="dim"), self._bar(width, ascii_only=options.ascii_only), Text(values[0]))
        for label, number, shown in self._marks:
            place = min(width - 1, round(number / self._reach * width))
            mark = Text(" " * place + ("|" if options.ascii_only else "│"), style="bold")
            grid.add_row(Text(label, style="dim"), mark, Text(shown))
        yield grid

    def _bar(self, width: int, *, ascii_only: bool) -> RenderableType:
        interval = self._result.interval
        begin, end = interval.lower / self._reach, 1.0 if interval.upper is None else interval.upper / self._reach
        if ascii_only:
            first = min(width - 1, round(begin * width))
            return Text(" " * first + "#" * max(1, round(end * width) - first), style=self._colour)
        # An exact value is a point, which would be invisible.
        end = min(1.0, max(end, begin + 0.5 / width))
        return Bar(size=1.0, begin=min(begin, end - 0.25 / width), end=end, width=width, color=self._colour)


def _ends(interval: Interval) -> str:
    below = lower_bound(interval.lower)
    return f"{below} or more" if interval.upper is None else f"{below} to {at_most(interval.upper)}"


def _judgement(result: GateResult) -> Iterator[str]:
    """Remarks on the interval that was judged, the baseline, and repeatability."""
    recorded = result.recorded
    baseline = "" if recorded is None else f" Baseline: {recorded.document}, {recorded.source} against the same reference."
    yield f"{_judged(result)}{baseline}"
    if result.training_note is not None:
        yield result.training_note
    if result.timed:
        yield "The time was limited: another run gives different digits. Without --budget and --max-time they are reproducible."
    elif SHORT_OF_MEMORY in result.estimate.warnings:
        yield "Memory was short: a run with more free memory may give different digits."
    elif not result.repeatable:
        yield "A GPU sums in any order: another run may give different digits. With --device cpu they are reproducible."
    else:
        yield "The same inputs, seed and machine give the same digits."


def _judged(result: GateResult) -> str:
    """What was judged, and how surely."""
    if result.confidence is None:
        return "The two sample sets were judged (--on samples): both bounds are certain."
    sure = f"at {level(result.confidence)}."
    if result.looks:
        return (
            f"What critics find was judged, not W1, after each batch ({len(result.looks)} in all); all looks hold together {sure} "
            f"The bounds above are from the samples before the last batch."
        )
    one = "each bound holds on its own" if result.interval.one_sided else "the interval holds"
    tests = "both rules hold" if len(result.judged) > 1 else one
    together = f"hold together {sure}"
    ends = f"both bounds {together}"
    if result.recorded is not None:
        ends = f"its bounds and those of the baseline {together}"
    elif result.interval.upper is None:
        ends = f"the lower bound holds {sure}"
    return {
        "detected": f"What the critic finds was judged (--on detected), not W1; {tests} {sure}",
        "block": f"The mean distance between blocks was judged (--on block), which is larger than W1; {tests} {sure}",
        "reference": f"W1 from the samples of A to the distribution of B was judged (--on reference); both bounds {together}",
        "population": f"The distributions were judged (--on population); {ends}",
    }[result.on]
