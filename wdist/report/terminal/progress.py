"""What is seen while critics train: a live display on a terminal, a few plain lines elsewhere; never on stdout."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from rich.console import Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wdist.report.numbers import at_most, counted, duration, lower_bound, nearest, percentage
from wdist.training.observer import CriticFinished, CriticStarted, Event, Progress, SamplesBounded, Stage

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_REFRESHES_PER_SECOND = 4
_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 32
_DONE_LINES = 6
"""At most so many, since a block taller than the terminal would hide what is being trained."""
_SPOKEN_QUARTERS = (0.25, 0.5, 0.75)
_SPOKEN_SECONDS = 1.0
"""Of training, that have to pass between two lines: many short runs would fill a log."""
_SPOKEN_GAP = 0.8
"""A gap is told again when it has fallen to this share of the one told last."""


class Display(Protocol):
    """An :class:`~wdist.training.observer.Observer` that takes up a stream for as long as the work lasts."""

    def notify(self, event: Event) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None: ...


def display_on(console: Console, *, quiet: bool = False) -> Display:
    """The display that suits a console: none, live, or plain lines."""
    if quiet:
        return QuietDisplay()
    # Asked of the stream itself: FORCE_COLOR makes rich see a terminal where there is only a log.
    lives = console.file.isatty() and console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if lives else PlainDisplay(console)


class QuietDisplay:
    """Says nothing."""

    def notify(self, event: Event) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        pass


class PlainDisplay:
    """A line at the start, at each quarter and at the end of a critic's training, and one whenever the gap has narrowed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._quarters: list[float] = []
        self._spoken_at = 0.0
        self._gap = float("inf")

    def notify(self, event: Event) -> None:
        match event:
            case Stage():
                self._say(f"{event.what} ...")
            case CriticStarted():
                self._quarters, self._spoken_at = list(_SPOKEN_QUARTERS), 0.0
                self._say(f"{event.critic}: {event.budget} ({event.position} of {event.critics})")
            case Progress() if self._is_due(event):
                self._quarters = [quarter for quarter in self._quarters if quarter > event.fraction]
                self._spoken_at = event.seconds
                self._say(
                    f"{event.critic}: {event.fraction:.0%}, step {counted(event.step)}, {_rate(event)}, {_time_left(event)}; "
                    f"validation value {nearest(event.validation)}, best {nearest(event.best)}"
                )
            case CriticFinished():
                self._say(f"{event.critic}: done, {_finished(event)}")
            case SamplesBounded(relative_gap=gap) if gap is not None and gap < _SPOKEN_GAP * self._gap:
                self._gap = gap
                self._say(_ends(event))
            case _:
                pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        pass

    def _is_due(self, event: Progress) -> bool:
        """Whether a quarter of the budget has passed, and some time since the last line."""
        passed = bool(self._quarters) and self._quarters[0] <= event.fraction < 1
        return passed and event.seconds - self._spoken_at >= _SPOKEN_SECONDS

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class LiveDisplay:
    """One block at the foot of the terminal that is redrawn a few times a second and is gone when the result is printed."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(self, console=console, refresh_per_second=_REFRESHES_PER_SECOND, transient=True)
        self._stage: str | None = None
        self._stage_began = time.perf_counter()
        self._started: CriticStarted | None = None
        self._progress: Progress | None = None
        self._progress_arrived = 0.0
        self._validations: list[float] = []
        self._done: list[CriticFinished] = []
        self._ends: list[SamplesBounded] = []

    def notify(self, event: Event) -> None:
        # The drawing thread may read between two assignments: each of them leaves a state that can be drawn.
        match event:
            case Stage():
                self._stage_began, self._stage = time.perf_counter(), event.what
            case CriticStarted():
                self._progress, self._validations = None, []
                self._started, self._stage = event, None
            case Progress():
                self._validations = [*self._validations, event.validation]
                self._progress_arrived, self._progress = time.perf_counter(), event
            case CriticFinished():
                self._done = [*self._done, event]
                self._started = self._progress = None
            case SamplesBounded():
                self._ends = [*self._ends, event]

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self._live.stop()

    def __rich__(self) -> RenderableType:
        lines: list[RenderableType] = [self._done_line(event) for event in self._done[-_DONE_LINES:]]
        if len(self._done) > _DONE_LINES:
            lines.insert(0, Text(f"done  {len(self._done) - _DONE_LINES} before", style="dim"))
        if self._started is not None and self._stage is None:
            lines += self._training_lines(self._started, self._progress)
        elif self._stage is not None:
            waiting = duration(time.perf_counter() - self._stage_began)
            lines.append(Text.assemble((f"{self._stage} ... ", "bold"), (waiting, "dim"), overflow="ellipsis", no_wrap=True))
        if self._ends:
            lines.append(self._ends_line(self._ends))
        return Group(*lines)

    def _ends_line(self, ends: Sequence[SamplesBounded]) -> RenderableType:
        line = Table.grid(padding=(0, 1))
        gaps = [each.relative_gap for each in ends if each.relative_gap is not None]
        # From 0 and not from the smallest: the eye is to see how much is left.
        blocks = "" if self._console.options.ascii_only else curve(gaps, _CURVE_WIDTH, lowest=0.0)
        line.add_row(Text(blocks.ljust(_CURVE_WIDTH), style="magenta"), Text(_ends(ends[-1]), overflow="ellipsis", no_wrap=True))
        return line

    def _done_line(self, event: CriticFinished) -> Text:
        return Text.assemble(("done  ", "green"), event.critic, (f"  {_finished(event)}", "dim"), overflow="ellipsis", no_wrap=True)

    def _training_lines(self, started: CriticStarted, progress: Progress | None) -> list[RenderableType]:
        name = Text.assemble((started.critic, "bold"), (f"  {started.position} of {started.critics}, {started.budget}", "dim"))
        if progress is None:
            return [name, Text("first steps ...", style="dim")]
        left = progress.seconds_left
        if left is not None:
            left = max(0.0, left - (time.perf_counter() - self._progress_arrived))
        bar = Table.grid(padding=(0, 1))
        bar.add_row(
            ProgressBar(total=1.0, completed=progress.fraction, width=_CURVE_WIDTH),
            Text(f"{progress.fraction:4.0%}"),
            Text(f"step {counted(progress.step)}"),
            Text(_rate(progress), style="dim"),
            Text("" if left is None else f"{duration(left)} left", style="dim"),
        )
        values = Table.grid(padding=(0, 1))
        blocks = "" if self._console.options.ascii_only else curve(self._validations, _CURVE_WIDTH)
        values.add_row(
            Text(blocks.ljust(_CURVE_WIDTH), style="cyan"),
            Text.assemble("validation value ", (nearest(progress.validation), "bold")),
            Text.assemble(("best ", "dim"), nearest(progress.best)),
        )
        return [name, bar, values]


def curve(values: Sequence[float], width: int, *, lowest: float | None = None) -> str:
    """A small curve of block characters: the values from their smallest (lowest block) to their largest (full block).

    Arguments:
        values: in the order of time; finite.
        width: largest number of characters; longer series show the last value of equal stretches.
        lowest: the value of the lowest block, where that is not the smallest value.
    """
    if not values:
        return ""
    shown = values if len(values) <= width else [values[(i + 1) * len(values) // width - 1] for i in range(width)]
    lowest, highest = min(shown) if lowest is None else lowest, max(shown)
    if not highest > lowest:
        return _BLOCKS[len(_BLOCKS) // 2] * len(shown)
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(top * (value - lowest) / (highest - lowest))] for value in shown)


def _rate(progress: Progress) -> str:
    return f"{progress.rate:.3g} steps/s" if progress.rate < 1000 else f"{progress.rate:,.0f} steps/s"


def _time_left(progress: Progress) -> str:
    return "" if progress.seconds_left is None else f"{duration(progress.seconds_left)} left"


def _ends(event: SamplesBounded) -> str:
    lower = f"samples: {lower_bound(event.lower)} <= W1"
    if event.upper is None or event.relative_gap is None:
        return lower
    return f"{lower} <= {at_most(event.upper)}, gap {percentage(event.relative_gap)}"


def _finished(event: CriticFinished) -> str:
    ending = "interrupted after " if event.interrupted else ""
    return f"{ending}{counted(event.steps)} steps in {duration(event.seconds)}, best validation value {nearest(event.best)}"
