"""A verdict as text: the answer first, then what it rests on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.bar import Bar
from rich.console import Group
from rich.table import Table
from rich.text import Text

from wdist.estimation.transport_bounds import SHORT_OF_MEMORY
from wdist.report.estimate_sentence import sentence
from wdist.report.gate_limits import NAMES, marks
from wdist.report.numbers import at_most, certificate, duration, level, lower_bound
from wdist.report.terminal.headline import headline

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType, RenderResult

    from wdist.gates.gate import GateResult
    from wdist.gates.rules import Interval

_STYLES = {"pass": "bold green", "fail": "bold red", "inconclusive": "bold yellow"}
_COLOURS = {"pass": "green", "fail": "red", "inconclusive": "yellow"}
_BEYOND = 1.08
"""A scale ends so far behind its largest number."""


def rendered_gate(result: GateResult) -> RenderableType:
    """The verdict first, then what it rests on, for 72 columns and more."""
    parts: list[RenderableType] = [_verdict_line(result), Text(""), _Scale(result), Text(""), headline(result.estimate), Text("")]
    parts += [Text(sentence(result.estimate)), Text("")]
    return Group(*parts, *remarks(result))


def _verdict_line(result: GateResult) -> RenderableType:
    lines = Table.grid(padding=(0, 1))
    lines.add_column(no_wrap=True)
    lines.add_column(overflow="fold")
    whole, each = result.answer.value, result.judged
    if len(each) == 1:
        lines.add_row(Text(whole.upper(), style=_STYLES[whole]), Text(each[0].verdict.reason))
    else:
        lines.add_row(Text(whole.upper(), style=_STYLES[whole]), Text(f"of {len(each)} things that were asked:"))
        for judged in each:
            answer = judged.verdict.answer.value
            lines.add_row(Text(answer, style=_STYLES[answer]), Text(judged.verdict.reason))
    for way in result.verdict.suggestions:
        lines.add_row("", Text(way, style="dim"))
    return lines


class _Scale:
    """What is proved and what was asked, one above the other on one scale from 0."""

    def __init__(self, result: GateResult) -> None:
        self._result = result
        self._colour = _COLOURS[result.answer.value]
        self._marks = list(marks(result))
        interval = result.interval
        numbers = [interval.lower, *(number for _, number, _ in self._marks)]
        self._reach = _BEYOND * max([*numbers, *([] if interval.upper is None else [interval.upper])]) or 1.0

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        labels = [f"proved, {NAMES[self._result.on]}", *(label for label, _, _ in self._marks)]
        values = [_ends(self._result.interval), *(shown for _, _, shown in self._marks)]
        width = options.max_width - max(map(len, labels)) - max(map(len, values)) - 4
        if width < 12:
            return
        grid = Table.grid(padding=(0, 2))
        for no_wrap in (True, True, True):
            grid.add_column(no_wrap=no_wrap)
        grid.add_row(Text(labels[0], style="dim"), self._bar(width, ascii_only=options.ascii_only), Text(values[0]))
        for (label, number, shown), _ in zip(self._marks, labels[1:], strict=True):
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
        # An exact value is a point, and would leave no trace.
        end = min(1.0, max(end, begin + 0.5 / width))
        return Bar(size=1.0, begin=min(begin, end - 0.25 / width), end=end, width=width, color=self._colour)


def _ends(interval: Interval) -> str:
    below = lower_bound(interval.lower)
    return f"{below} or more" if interval.upper is None else f"{below} to {at_most(interval.upper)}"


def remarks(result: GateResult) -> list[Text]:
    """What was judged, against what, and whether it repeats; dim, a line or two each."""
    lines = []
    if result.confidence is None:
        judged = "The two sample sets were judged (--on samples): both ends are certain."
    else:
        ends = "both ends" if result.recorded is None else "its ends and those of the baseline"
        judged = f"The distributions were judged (--on population); {ends} hold together at {level(result.confidence)}."
    if result.recorded is not None:
        recorded = result.recorded
        judged += f" Baseline: {recorded.document}, {recorded.source} against the same reference."
    lines.append(Text(judged, style="dim"))
    critic, estimate = result.estimate.critic, result.estimate
    lines.append(
        Text(
            f"critic {critic.name}, K <= {certificate(critic.lipschitz_bound)}, {critic.steps} steps; seed {estimate.seed}, "
            f"{estimate.environment.device}, {duration(estimate.seconds)} in all.",
            style="dim",
        )
    )
    if result.training_note is not None:
        lines.append(Text(result.training_note, style="dim"))
    lines.append(Text(_repeats(result), style="dim"))
    return lines


def _repeats(result: GateResult) -> str:
    if result.timed:
        return "Training ended by the clock: another run comes to other digits. Give --steps for digits that repeat."
    if SHORT_OF_MEMORY in result.estimate.warnings:
        return "Memory was short: a run with more of it free may come to other digits."
    if not result.repeatable:
        return "A GPU adds up in any order: another run may come to other digits. Give --device cpu for digits that repeat."
    return "The same inputs, seed and machine give the same digits."
