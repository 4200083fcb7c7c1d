"""Results in Python: as text, one line, HTML with the figure, and plain values, for :mod:`wdist.presentable`."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any

from wdist.errors import UsageError
from wdist.report import sentences
from wdist.report.documents import document as documents
from wdist.report.documents import forms
from wdist.report.keywords import in_python

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from wdist.comparison.ranking import Comparison

_HTML_WIDTH, _HTML_DPI = 100, 96
_PRE = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:1.3;'
    "font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace\">{}</pre>"
)


@dataclass(frozen=True, kw_only=True)
class View:
    """How one class of results is shown."""

    rendered: str
    """The whole report: ``module:function`` in ``wdist.report``."""
    line: Callable[[Any], str]
    """The headline numbers."""
    sentences: Callable[[Any], Iterable[str]]
    """The conclusion."""
    draw: str = ""
    """The figure, as ``module:function`` in ``wdist.report``."""
    command: str = ""
    """The command whose published document it is."""


VIEWS = {
    "Estimate": View(
        rendered="terminal.estimate:rendered",
        line=sentences.intervals,
        sentences=sentences.estimate_sentences,
        draw="plots.estimate:draw",
        command="estimate",
    ),
    "Comparison": View(
        rendered="terminal.comparison:rendered_comparison",
        line=sentences.proved_order,
        sentences=lambda comparison: (f"{sentences.proved_order(comparison)}.", *sentences.comparison_sentences(comparison)),
        draw="plots.comparison:draw_comparison",
        command="compare",
    ),
    "GateResult": View(
        rendered="terminal.gate:rendered_gate",
        line=lambda result: f"{result.answer.value}, {result.verdict.reason}".rstrip("."),
        sentences=lambda result: filter(None, (result.verdict.reason, result.verdict.what_would_decide)),
        draw="plots.gate:draw_gate",
        command="gate",
    ),
    "Verification": View(
        rendered="terminal.facts:rendered_verification",
        line=sentences.verification_line,
        sentences=lambda verification: (f"{sentences.verification_line(verification)}.",),
        draw="plots.estimate:draw_verified",
        command="verify",
    ),
    "Transport": View(
        rendered="terminal.facts:rendered_transport",
        line=sentences.transport_line,
        sentences=lambda found: (f"{sentences.transport_line(found)}.",),
    ),
}
"""The view of each class of results, by its name."""


def line(result: Any) -> str:
    """The class of a result and its headline numbers, on one line."""
    return f"<{type(result).__name__}: {in_python(_view(result).line(result))}>"


def summary(result: Any) -> str:
    """The conclusion of a result in sentences."""
    return in_python("\n".join(_view(result).sentences(result)))


def text(result: Any) -> str:
    """The whole report without colours, as wide as the terminal, and the warnings."""
    from wdist.report.terminal.console import SafeConsole

    stream = io.StringIO()
    width = shutil.get_terminal_size((80, 24)).columns
    console = SafeConsole(file=stream, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(_rendered(result), crop=False)
    lines = [line.rstrip() for line in stream.getvalue().rstrip().splitlines()]
    return in_python("\n".join([*lines, *_warnings(result)]))


def html(result: Any) -> str:
    """The report with its colours, the warnings, and the figure as an image; no scripts."""
    from wdist.report.terminal.console import SafeConsole

    console = SafeConsole(
        file=io.StringIO(), record=True, width=_HTML_WIDTH, highlight=False, markup=False, emoji=False, force_jupyter=False
    )
    console.print(_rendered(result), crop=False)
    parts = [console.export_html(inline_styles=True, code_format="{code}").rstrip(), *map(escape, _warnings(result))]
    shown = _PRE.format(in_python("\n".join(parts)))
    if _view(result).draw:
        shown += f'<img alt="{escape(line(result), quote=True)}" src="data:image/png;base64,{_picture(result)}">'
    return f"<div>{shown}</div>"


def frame(comparison: Comparison) -> Any:
    """A comparison as a pandas data frame, with the columns of ``wdist compare --csv``.

    Raises:
        UsageError: pandas is not installed.
    """
    from wdist.report.documents.comparison import comma_separated

    try:
        from pandas import read_csv
    except ImportError as error:
        raise UsageError("to_frame needs pandas; install it, or take the rows from to_dict()['ranking']") from error
    return read_csv(io.StringIO(comma_separated(comparison)))


def figure(result: Any) -> Figure:
    """The figure of a result, in the common style."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from wdist.report.plots.figure import STYLE

    with matplotlib.rc_context(STYLE):
        drawn: Figure = _function(_view(result).draw)(result)
    FigureCanvasAgg(drawn)
    return drawn


def plain_document(result: Any) -> dict[str, Any]:
    """The published document of a result, as plain values."""
    command = _view(result).command
    return forms.document(result, command) if command else forms.transport_document(result)


def json(result: Any) -> str:
    """The same as indented JSON."""
    return documents.text(plain_document(result))


def _view(result: Any) -> View:
    return VIEWS[type(result).__name__]


def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(f"wdist.report.{module}"), name)


def _rendered(result: Any) -> Any:
    return _function(_view(result).rendered)(result)


def _warnings(result: Any) -> Iterator[str]:
    from wdist.report.terminal.console import printable

    told = result if hasattr(result, "warnings") else getattr(result, "estimate", None)
    yield from (f"warning: {printable(warning)}" for warning in getattr(told, "warnings", ()))


def _picture(result: Any) -> str:
    """The figure as a PNG image in base64."""
    file = io.BytesIO()
    figure(result).savefig(file, format="png", dpi=_HTML_DPI, facecolor="white")
    return base64.b64encode(file.getvalue()).decode()
