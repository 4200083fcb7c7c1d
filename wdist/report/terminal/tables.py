"""Tables that fit their terminal: bars take spare room, and the last columns are left out if there is no room for them."""

from collections.abc import Iterable, Sequence
from typing import Protocol

from rich import box
from rich.bar import Bar
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

ACCENT = "bold cyan"
"""Style of the numbers to look at first."""
_NARROWED = (24, 18, 13)
"""Largest widths of columns that fold, tried in turn before the last columns are left out."""


def paragraphs(*parts: RenderableType | None) -> Group:
    """Parts of a report with an empty line between them; None is left out."""
    there = [part for part in parts if part is not None]
    return Group(*there[:1], *(each for part in there[1:] for each in (Text(""), part)))


def lines(sentences: Iterable[str], style: str = "dim") -> Group:
    """Sentences, a line each."""
    return Group(*(Text(sentence, style=style) for sentence in sentences))


def heading(words: str, *, interrupted: bool, alarming: bool = False) -> Text:
    """The first line of a result."""
    line = Text(f"{words}.", style="bold red" if alarming else "bold")
    return line.append(" (interrupted)", style="yellow") if interrupted else line


def plain_table(padding: int = 1) -> Table:
    """An empty table with a rule under its headers and ``padding`` columns between its cells."""
    return Table(box=box.SIMPLE_HEAD, padding=(0, padding, 0, 0), pad_edge=False, show_edge=False, header_style="dim")


def checks_table(headers: tuple[str, str, str], checks: Iterable[tuple[str, bool, str]]) -> Table:
    """Table of checks: subject, yes or NO, and finding."""
    table = plain_table()
    for header, folds in zip(headers, (True, False, True), strict=True):
        table.add_column(header, no_wrap=not folds, overflow="fold" if folds else "ellipsis")
    for what, ok, found in checks:
        table.add_row(Text(what), Text("yes", style="green") if ok else Text("NO", style="bold red"), Text(found))
    return table


def facts_grid(*, most: int | None = None) -> Table:
    """An empty table of named facts; names wider than ``most`` are folded."""
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="dim", no_wrap=most is None, overflow="fold", max_width=most)
    rows.add_column(overflow="fold")
    return rows


class TableColumn:
    """Header and cells of a table, top to bottom; cells wider than ``most`` are folded."""

    def __init__(
        self,
        header: str,
        cells: Sequence[str | Text],
        styles: Sequence[str] = (),
        *,
        left: bool = False,
        most: int | None = None,
    ) -> None:
        self.header, self.left, self.most = header, left, most
        self._cells, self._styles = cells, styles or [""] * len(cells)

    def cells(self, *, ascii_only: bool) -> list[Text]:
        shown = [
            Text(cell, style=style) if isinstance(cell, str) else cell
            for cell, style in zip(self._cells, self._styles, strict=True)
        ]
        return [Text(text.plain.replace("±", "+-"), style=text.style) if ascii_only else text for text in shown]


class Bars(Protocol):
    """A bar for each row of a table."""

    after: int
    """The column that the bars follow."""
    narrowest: int
    widest: int

    def header(self, width: int) -> str:
        """Header above the bars."""
        ...

    def cells(self, width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        """The bars, at most ``width`` characters wide."""
        ...


class LengthBars:
    """Bars whose lengths are values, full at ``reach``; the accented ones stand out."""

    after, narrowest, widest = 1, 6, 32

    def __init__(self, values: Sequence[float], *, reach: float, accented: Sequence[bool]) -> None:
        self._shares = [min(value / reach, 1.0) if reach > 0 else 0.0 for value in values]
        self._colours = ["cyan" if each else "bright_black" for each in accented]

    def header(self, width: int) -> str:
        return ""

    def cells(self, width: int, *, ascii_only: bool) -> Sequence[RenderableType]:
        if ascii_only:  # blocks of eighths need UTF-8
            return [Text("#" * round(share * width)) for share in self._shares]
        return [
            Bar(size=1.0, begin=0.0, end=share, width=width, color=colour)
            for share, colour in zip(self._shares, self._colours, strict=True)
        ]


class FittedTable:
    """A table that fits its terminal.

    Without room for bars, first the padding shrinks, then columns that fold become narrower, then the last columns are left out. If
    even two columns are too wide, the first is folded.
    """

    def __init__(self, *columns: TableColumn, bars: Bars | None = None, padding: int = 1) -> None:
        self._columns, self._bars, self._padding = columns, bars, padding

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        unbounded, ascii_only = options.update(max_width=10_000), options.ascii_only

        def left_by(padding: int, columns: int, widest: int | None = None) -> int:
            table = self._table(padding=padding, columns=columns, ascii_only=ascii_only, widest=widest)
            return options.max_width - Measurement.get(console, unbounded, table).maximum

        every = len(self._columns)
        paddings = range(self._padding, -1, -1)
        if self._bars is not None:
            for padding in paddings:
                width = min(left_by(padding, every) - 1 - padding, self._bars.widest)
                if width >= self._bars.narrowest:
                    yield self._table(padding=padding, columns=every, ascii_only=ascii_only, bar_width=width)
                    return
        narrowest = _NARROWED[-1]
        attempts: list[tuple[int, int, int | None]] = [(padding, every, None) for padding in paddings]
        attempts += [*((1, every, width) for width in _NARROWED), (0, every, narrowest)]
        attempts += [(1, columns, narrowest) for columns in range(every - 1, 1, -1)]
        padding, columns, widest = next((each for each in attempts if left_by(*each) >= 0), attempts[-1])
        yield self._table(padding=padding, columns=columns, ascii_only=ascii_only, widest=widest)

    def _table(self, *, padding: int, columns: int, ascii_only: bool, bar_width: int = 0, widest: int | None = None) -> Table:
        table = plain_table(padding)
        cells: list[Sequence[RenderableType]] = []
        for i, column in enumerate(self._columns[:columns]):
            # A name too long for any terminal continues on the next line; a number is never cut.
            folds = i == 0 or column.most is not None
            table.add_column(
                column.header,
                justify="left" if i == 0 or column.left else "right",
                no_wrap=not folds,
                overflow="fold" if folds else "ellipsis",
                max_width=min(column.most, widest) if widest and column.most else column.most,
            )
            cells.append(column.cells(ascii_only=ascii_only))
            if self._bars is not None and bar_width and i == self._bars.after:
                table.add_column(self._bars.header(bar_width), no_wrap=True, min_width=bar_width)
                cells.append(self._bars.cells(bar_width, ascii_only=ascii_only))
        for row in zip(*cells, strict=True):
            table.add_row(*row)
        return table
