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
from wdist.keywords import for_caller, in_python
from wdist.presentable import run_of
from wdist.report import rankings, sentences

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HTML_WIDTH, _HTML_DPI = 100, 96
_PRE = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:1.3;'
    "font-family:Menlo,'DejaVu Sans Mono',Consolas,monospace\">{}</pre>"
)


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body{{max-width:62rem;margin:2rem auto;padding:0 1rem;color:#22313f;font-family:system-ui,sans-serif}}
img{{max-width:100%}}</style>
</head>
<body>
<h1>{title}</h1>
{report}
</body>
</html>
"""


@dataclass(frozen=True, kw_only=True)
class View:
    """Presentation of one class of results."""

    rendered: str
    """The whole report: ``module:function`` in ``wdist.report``."""
    line: Callable[[Any], str]
    """The headline numbers."""
    more: Callable[[Any], Iterable[str]] = lambda result: ()
    """Sentences that follow the line in the conclusion."""
    sentences: Callable[[Any], Iterable[str]] | None = None
    """The conclusion; None if it begins with the line."""
    draw: str = ""
    """The figure, as ``module:function`` in ``wdist.report``."""
    command: str | Callable[[Any], str] = ""
    """The command that publishes its document, or a function of the result that names this command."""
    rows: str = ""
    """The rows as comma-separated values, as ``module:function`` in ``wdist.report``."""


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
        line=rankings.proved_order,
        more=rankings.comparison_sentences,
        draw="plots.comparison:draw_comparison",
        command="compare",
        rows="documents.comparison:comma_separated",
    ),
    "GateResult": View(
        rendered="terminal.gate:rendered_gate",
        line=lambda result: f"{result.answer.value}, {result.verdict.reason}".rstrip("."),
        sentences=lambda result: filter(None, (result.verdict.reason, result.verdict.what_would_decide)),
        draw="plots.gate:draw_gate",
        command="gate",
    ),
    "Dependence": View(
        rendered="terminal.dependence:rendered_dependence",
        line=sentences.dependence_headline,
        more=sentences.dependence_sentences,
        draw="plots.dependence:draw_dependence",
        command="dependence",
    ),
    "Drift": View(
        rendered="terminal.drift:rendered_drift",
        line=sentences.drift_headline,
        more=sentences.drift_sentences,
        draw="plots.drift:draw_drift",
        command="drift",
        rows="documents.drift:drift_csv",
    ),
    "Robustness": View(
        rendered="terminal.robust:rendered_robust",
        line=sentences.robust_headline,
        draw="plots.robust:draw_robust",
        command="robust",
    ),
    "LipschitzConstant": View(
        rendered="terminal.lipschitz:rendered_lipschitz",
        line=sentences.lipschitz_headline,
        more=sentences.lipschitz_sentences,
        command="lipschitz",
    ),
    "Verification": View(
        rendered="terminal.facts:rendered_verification",
        line=sentences.verification_line,
        draw="plots.estimate:draw_verified",
        command="verify",
    ),
    "StudyResult": View(
        rendered="terminal.study:rendered_study",
        line=sentences.study_headline,
        more=sentences.study_sentences,
        draw="plots.study:draw_study",
        command=lambda found: found.study.group,
    ),
    "Transport": View(
        rendered="terminal.facts:rendered_transport",
        line=sentences.transport_line,
    ),
}
"""The view of each class of results, by its name."""


def line(result: Any) -> str:
    """The class of a result and its headline numbers, on one line."""
    return f"<{type(result).__name__}: {in_python(_view(result).line(result))}>"


def summary(result: Any) -> str:
    """The conclusion of a result in sentences."""
    view = _view(result)
    conclusion = (f"{view.line(result)}.", *view.more(result)) if view.sentences is None else view.sentences(result)
    return in_python("\n".join(conclusion))


def rendered(result: Any) -> Any:
    """The whole report, for a console."""
    return _function(_view(result).rendered)(result)


def text(result: Any) -> str:
    """The whole report without colours, as wide as the terminal, and the warnings."""
    from wdist.report.terminal.console import SafeConsole

    stream = io.StringIO()
    width = shutil.get_terminal_size((80, 24)).columns
    console = SafeConsole(file=stream, width=width, color_system=None, highlight=False, markup=False, emoji=False)
    console.print(rendered(result), crop=False)
    lines = [line.rstrip() for line in stream.getvalue().rstrip().splitlines()]
    return in_python("\n".join([*lines, *_warnings(result)]))


def html(result: Any) -> str:
    """The report with its colours, the warnings, and the figure as an image; no scripts."""
    from wdist.report.terminal.console import SafeConsole

    console = SafeConsole(
        file=io.StringIO(), record=True, width=_HTML_WIDTH, highlight=False, markup=False, emoji=False, force_jupyter=False
    )
    console.print(rendered(result), crop=False)
    parts = [console.export_html(inline_styles=True, code_format="{code}").rstrip(), *map(escape, _warnings(result))]
    shown = _PRE.format(for_caller("\n".join(parts)))
    if _view(result).draw:
        figure_of = escape(f"Figure: {for_caller(_view(result).line(result))}", quote=True)
        shown += f'<img alt="{figure_of}" src="data:image/png;base64,{_picture(result)}">'
    return f"<div>{shown}</div>"


def page(result: Any) -> str:
    """A self-contained HTML page with the report and its figure."""
    return _PAGE.format(title=escape(_view(result).line(result)), report=html(result))


def frame(result: Any) -> Any:
    """The rows of a result as a pandas data frame, with the columns that ``--csv`` writes.

    Raises:
        UsageError: pandas is not installed.
    """
    try:
        from pandas import read_csv
    except ImportError as error:
        raise UsageError("to_frame needs pandas; install it, or take the rows from to_dict()") from error
    return read_csv(io.StringIO(rows(result)))


def rows(result: Any) -> str:
    """The rows of a result as comma-separated values."""
    found: str = _function(_view(result).rows)(result)
    return found


def figure(result: Any) -> Figure:
    """The figure of a result, in the common style."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from wdist.report.plots.figure import STYLE

    with matplotlib.rc_context(STYLE):
        drawn: Figure = _function(_view(result).draw)(result)
    FigureCanvasAgg(drawn)
    return drawn


def figure_bytes(result: Any, *, suffix: str) -> bytes | None:
    """The figure of a result as a file of the kind that the suffix names."""
    from wdist.report.plots.figure import figure_file

    return figure_file(_function(_view(result).draw), result, suffix=suffix)


def plain_document(result: Any) -> dict[str, Any]:
    """The published document of a result, as plain values."""
    from wdist.report.documents import forms

    command = _view(result).command
    name = command(result) if callable(command) else command
    return forms.document(result, name) if name else forms.transport_document(result)


def json(result: Any) -> str:
    """The published document of a result, as indented JSON."""
    from wdist.report.documents.document import text

    return text(plain_document(result))


def _view(result: Any) -> View:
    return VIEWS[type(result).__name__]


def _function(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(import_module(f"wdist.report.{module}"), name)


def _warnings(result: Any) -> Iterator[str]:
    from wdist.report.terminal.console import printable

    yield from (f"warning: {printable(warning)}" for warning in getattr(run_of(result), "warnings", ()))


def _picture(result: Any) -> str:
    file = io.BytesIO()
    figure(result).savefig(file, format="png", dpi=_HTML_DPI, facecolor="white")
    return base64.b64encode(file.getvalue()).decode()
