"""A figure as the content of a file."""

import io
from collections.abc import Callable

import matplotlib
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from wdist.report.figures.look import DPI, STYLE

_UNDATED: dict[str, dict[str, None]] = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}
"""No date inside, so that the same result gives the same file."""


def file_content(draw: Callable[[], Figure], *, suffix: str) -> bytes:
    """Draws in the house's style and returns the file.

    Arguments:
        draw: makes the figure.
        suffix: ``.png``, ``.svg`` or ``.pdf``.
    """
    with matplotlib.rc_context(STYLE):
        figure = draw()
        FigureCanvasAgg(figure)
        content = io.BytesIO()
        figure.savefig(content, format=suffix.removeprefix("."), dpi=DPI, facecolor="white", metadata=_UNDATED.get(suffix, {}))
    return content.getvalue()
