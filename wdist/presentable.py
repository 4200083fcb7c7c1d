"""Results that present themselves: as text, in a notebook and as a document.

:mod:`wdist.report` implements the presentation. It is imported by name on first use, so that results do not depend on it and
``import wdist`` does not wait for rich or matplotlib.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Presentable:
    """A result that can be printed, shown in a notebook and written as a document."""

    def __str__(self) -> str:
        """The report that the command line prints."""
        return _shown("text", self)

    def __repr__(self) -> str:
        """One line with the headline numbers."""
        return _shown("line", self)

    def _repr_html_(self) -> str:
        """The report for notebooks, with its figure if it has one."""
        return _shown("html", self)

    def summary(self) -> str:
        """The conclusion, in one or a few sentences."""
        return _shown("summary", self)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of the result as plain values; its keys are published by ``wdist schema``."""
        return _shown("plain_document", self)

    def to_json(self) -> str:
        """The JSON document of the result, indented."""
        return _shown("json", self)


class Plottable(Presentable):
    """A result with a figure."""

    def plot(self) -> Figure:
        """Draws the result; ``figure.axes`` holds its axes, and ``figure.savefig("result.png")`` saves it."""
        return _shown("figure", self)


class Tabular(Plottable):
    """A result with rows."""

    def to_frame(self) -> Any:
        """The rows as a pandas data frame, numbers at full precision.

        Raises:
            UsageError: pandas is not installed.
        """
        return _shown("frame", self)


def run_of(result: Any) -> Any:
    """The run that a result reports, with its warnings: the result itself, or the estimate that it judges or proves again."""
    return result if hasattr(result, "warnings") else getattr(result, "estimate", result)


def _shown(form: str, result: Presentable) -> Any:
    return getattr(import_module("wdist.report.presentation"), form)(result)
