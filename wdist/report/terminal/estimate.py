"""An estimate as text: the interval, what it means in one sentence, and the critics side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from wdist.report.estimate_sentence import sentence
from wdist.report.terminal.critics_table import critics_table, tried_table
from wdist.report.terminal.headline import headline
from wdist.report.terminal.remarks import remarks

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.estimation.result import Estimate


def rendered(estimate: Estimate) -> RenderableType:
    """The whole result, for 72 columns and more."""
    parts: list[RenderableType] = [headline(estimate), Text(""), Text(sentence(estimate)), Text(""), critics_table(estimate)]
    chosen = next((critic for critic in estimate.critics if critic.tried), None)
    if chosen is not None:
        parts += [Text(""), tried_table(chosen)]
    parts += [Text(""), *remarks(estimate)]
    return Group(*parts)
