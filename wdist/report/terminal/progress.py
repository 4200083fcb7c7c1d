"""Progress of a command: a live display on a terminal, a few plain lines elsewhere; never on stdout."""

import io
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wdist.report.numbers import at_most, counted, counted_as, duration, lower_bound, nearest
from wdist.training.observer import (
    NO_TRAINING,
    CriticFinished,
    CriticStarted,
    Event,
    Observer,
    Progress,
    SamplesBounded,
    Silent,
    Stage,
    StageProgress,
)

_REFRESHES_PER_SECOND = 4
_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_WIDTH = 32
_NOTEBOOK_WIDTH = 100
_DONE_LINES = 6
"""Most lines for finished critics: a block taller than the terminal would hide what is being trained."""
_MOST_DIGITS = 10
"""Most digits shown of converging bounds."""
_SPOKEN_QUARTERS = (0.25, 0.5, 0.75)
_SPOKEN_SECONDS = 1.0
"""Least seconds between two plain lines about one critic, because many short runs would fill a log."""


def display_on(console: Console, *, quiet: bool = False) -> AbstractContextManager[Observer]:
    """The display that suits a console: none if ``quiet``, live on a terminal, plain lines elsewhere."""
    if quiet:
        return nullcontext(Silent())
    # The stream itself is asked, because FORCE_COLOR makes rich take a log for a terminal.
    lives = console.file.isatty() and console.is_terminal and not console.is_dumb_terminal
    return LiveDisplay(console) if lives else nullcontext(PlainDisplay(console))


class TotalTime:
    """Time that the command has taken so far and, if known, still needs."""

    def __init__(self) -> None:
        self._began = self._part_began = self._since = time.perf_counter()
        self._left: float | None = None
        self._after: float | None = None

    def notify(self, event: Event) -> None:
        """Records a forecast or some progress."""
        now = time.perf_counter()
        match event:
            case Stage(expected=expected, after=after) | CriticStarted(expected=expected, after=after):
                self._part_began = self._since = now
                self._left, self._after = expected, after
            case StageProgress(fraction=fraction) if fraction > 0:
                self._left, self._since = (now - self._part_began) * (1 - fraction) / fraction, now
            case Progress(seconds_left=left) if left is not None:
                self._left, self._since = left, now

    @property
    def elapsed(self) -> float:
        """Seconds since the command began."""
        return time.perf_counter() - self._began

    @property
    def left(self) -> float | None:
        """Seconds until the command ends; None if unknown."""
        if self._left is None or self._after is None:
            return None
        return max(0.0, self._left - (time.perf_counter() - self._since)) + self._after

    @property
    def fraction(self) -> float | None:
        """Share of the command that is done."""
        left = self.left
        return None if left is None else self.elapsed / max(self.elapsed + left, 1e-9)

    def __str__(self) -> str:
        left = self.left
        if left is None:
            return f"{duration(self.elapsed)} elapsed"
        return f"about {duration(left)} left" if left >= 1 else "less than a second left"


class PlainDisplay:
    """One line when a stage or a critic that takes time begins, at each quarter of a training, and when something is done."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._time = TotalTime()
        self._quarters: list[float] = []
        self._spoken_at = 0.0
        self._bounds = ""

    def notify(self, event: Event) -> None:
        self._time.notify(event)
        match event:
            case Stage():
                left = "" if self._time.left is None else f" ({self._time})"
                self._say(f"{event.what} ...{left}")
            case CriticStarted() if event.budget != NO_TRAINING or (event.expected or 0.0) > _SPOKEN_SECONDS:
                self._quarters, self._spoken_at = list(_SPOKEN_QUARTERS), 0.0
                left = "" if self._time.left is None else f", {self._time}"
                self._say(f"{event.critic}: {event.budget} ({event.position} of {event.critics}{left})")
            case Progress() if self._is_due(event):
                self._quarters = [quarter for quarter in self._quarters if quarter > event.fraction]
                self._spoken_at = event.seconds
                self._say(
                    f"{event.critic}: {event.fraction:.0%}, step {counted(event.step)}, {_rate(event)}, {self._time}; "
                    f"validation value {nearest(event.validation)}, best {nearest(event.best)}"
                )
            case CriticFinished():
                self._say(f"{event.critic}: done, {_finished(event)}")
            case SamplesBounded() if _bounds(event) != self._bounds:
                self._bounds = _bounds(event)
                self._say(self._bounds)

    def _is_due(self, event: Progress) -> bool:
        """True if another quarter of the budget, and some time since the last line, have passed."""
        passed = bool(self._quarters) and self._quarters[0] <= event.fraction < 1
        return passed and event.seconds - self._spoken_at >= _SPOKEN_SECONDS

    def _say(self, line: str) -> None:
        self._console.print(Text(line), soft_wrap=True)


class Board:
    """Finished, current and remaining stages, as one block of lines."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._time = TotalTime()
        self._stage: str | None = "starting ..."
        self._stage_done = ""
        self._started: CriticStarted | None = None
        self._progress: Progress | None = None
        self._validations: list[float] = []
        self._done: list[CriticFinished] = []
        self._bounds: SamplesBounded | None = None

    def notify(self, event: Event) -> None:
        # The drawing thread may read between two assignments: each of them leaves a state that can be drawn.
        self._time.notify(event)
        match event:
            case Stage():
                self._stage = f"{event.what} ..."
                self._stage_done = ""
            case StageProgress(fraction=fraction):
                self._stage_done = f" {fraction:.0%}"
            case CriticStarted():
                self._progress, self._validations = None, []
                self._started, self._stage = event, None
            case Progress():
                self._validations = [*self._validations, event.validation]
                self._progress = event
            case CriticFinished():
                self._done = [*self._done, event]
                self._started = self._progress = None
            case SamplesBounded():
                self._bounds = event

    def __rich__(self) -> RenderableType:
        lines: list[RenderableType] = [
            _line(("done  ", "green"), event.critic, (f"  {_finished(event)}", "dim")) for event in self._done[-_DONE_LINES:]
        ]
        if len(self._done) > _DONE_LINES:
            lines.insert(0, Text(f"done  {len(self._done) - _DONE_LINES} earlier", style="dim"))
        if self._bounds is not None:
            lines.append(_line(_bounds(self._bounds)))
        started, progress = self._started, self._progress
        if started is not None and self._stage is None:
            lines += self._training_lines(started, progress)
        elif self._stage is not None:
            lines.append(_line((self._stage, "bold"), self._stage_done))
        return Group(*lines, self._total_line())

    @property
    def _width(self) -> int:
        return max(8, min(_CURVE_WIDTH, self._console.width - 44))

    def _total_line(self) -> RenderableType:
        fraction = self._time.fraction
        if fraction is None:
            return Text(str(self._time), style="dim")
        line = Table.grid(padding=(0, 1))
        bar = ProgressBar(total=1.0, completed=fraction, width=self._width)
        line.add_row(bar, Text(f"{fraction:4.0%}"), Text(str(self._time), style="dim"))
        return line

    def _training_lines(self, started: CriticStarted, progress: Progress | None) -> list[RenderableType]:
        name = _line((started.critic, "bold"), (f"  {started.position} of {started.critics}, {started.budget}", "dim"))
        if progress is None:
            return [name]
        blocks = "" if self._console.options.ascii_only else curve(self._validations, self._width)
        return [
            name.append(f"; step {counted(progress.step)}, {_rate(progress)}", style="dim"),
            _line(
                (blocks.ljust(self._width), "cyan"),
                " validation value ",
                (nearest(progress.validation), "bold"),
                (" best ", "dim"),
                nearest(progress.best),
            ),
        ]


class LiveDisplay(Board):
    """The board at the foot of the terminal, redrawn a few times a second and gone when the result is printed."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(self, console=console, refresh_per_second=_REFRESHES_PER_SECOND, transient=True)

    def __enter__(self) -> Self:
        self._live.start(refresh=True)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._live.stop()


class NotebookDisplay(Board):
    """The board below a cell of a notebook, redrawn at most a few times a second and emptied at the end.

    IPython's own display is enough; rich would ask for ipywidgets.
    """

    def __init__(self) -> None:
        super().__init__(Console(file=io.StringIO(), width=_NOTEBOOK_WIDTH, force_jupyter=False, highlight=False, markup=False))
        self._shown_at = -math.inf

    def __enter__(self) -> Self:
        from IPython.display import display

        self._handle = display(self, display_id=True)
        return self

    def __exit__(self, *raised: Any) -> None:
        self._handle.update({"text/html": "", "text/plain": ""}, raw=True)

    def notify(self, event: Event) -> None:
        super().notify(event)
        now = time.perf_counter()
        if now - self._shown_at >= 1 / _REFRESHES_PER_SECOND:
            self._shown_at = now
            self._handle.update(self)

    def _repr_html_(self) -> str:
        self._console.record = True
        self._console.print(self)
        lines = self._console.export_html(inline_styles=True, code_format="{code}")
        return f'<pre style="line-height:1.3">{lines}</pre>'

    def __repr__(self) -> str:
        return str(self._total_line())


def _line(*parts: str | tuple[str, str]) -> Text:
    return Text.assemble(*parts, overflow="ellipsis", no_wrap=True)


def curve(values: Sequence[float], width: int) -> str:
    """A small curve of block characters from the smallest value to the largest; a longer series shows the last value of each of
    ``width`` equal stretches."""
    if not values:
        return ""
    shown = values if len(values) <= width else [values[(i + 1) * len(values) // width - 1] for i in range(width)]
    lowest, highest = min(shown), max(shown)
    if not highest > lowest:
        return _BLOCKS[len(_BLOCKS) // 2] * len(shown)
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round(top * (value - lowest) / (highest - lowest))] for value in shown)


def _rate(progress: Progress) -> str:
    return f"{progress.rate:.3g} steps/s" if progress.rate < 1000 else f"{progress.rate:,.0f} steps/s"


def _bounds(event: SamplesBounded) -> str:
    share = event.relative_gap
    digits, gap = 4, ""
    if share is not None:
        digits = max(digits, min(_MOST_DIGITS, 2 - math.floor(math.log10(share)))) if share > 0 else _MOST_DIGITS
        gap = f", gap {at_most(100 * max(share, 0.0), 2)} %"
    return f"samples: {lower_bound(event.lower, digits)} <= W1 <= {at_most(event.upper, digits)}{gap}"


def _finished(event: CriticFinished) -> str:
    best = "" if event.best is None else f", best validation value {nearest(event.best)}"
    ending = "interrupted after " if event.interrupted else ""
    if not event.steps:
        return f"{ending}{duration(event.seconds)}{best}"
    return f"{ending}{counted_as(event.steps, 'step')} in {duration(event.seconds)}{best}"
