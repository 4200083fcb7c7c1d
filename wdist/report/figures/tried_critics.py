"""What a critic was chosen from, as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.figures.look import MAIN, MUTED
from wdist.report.numbers import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wdist.report.figures.part import Area
    from wdist.result import Attempt


class TriedCritics:
    """A bar for each critic that was tried: what it reached on the validation split, the highest on top."""

    def __init__(self, tried: Sequence[Attempt]) -> None:
        self._tried = sorted(tried, key=lambda attempt: attempt.validation)
        self.size = (7.6, 0.27 * len(tried) + 1.0)

    def draw_in(self, area: Area) -> None:
        axes = area.add_subplot()
        for place, attempt in enumerate(self._tried):
            colour = MAIN if attempt.chosen else MUTED
            axes.barh(place, max(attempt.validation, 0.0), height=0.62, color=colour, alpha=0.9 if attempt.chosen else 0.4)
            words = f" {nearest(attempt.validation)}, {attempt.seconds:.1f} s"
            axes.text(max(attempt.validation, 0.0), place, words, color=colour, fontsize=8.5, va="center")
        axes.set_yticks(range(len(self._tried)), [attempt.name for attempt in self._tried])
        for label, attempt in zip(axes.get_yticklabels(), self._tried, strict=True):
            if attempt.chosen:
                label.set(fontweight="bold", color=MAIN)
        axes.set_xlim(0, 1.16 * max(0.0, self._tried[-1].validation) or 1.0)
        axes.set_ylim(-0.6, len(self._tried) - 0.4)
        axes.set_xlabel("validation value and time of each critic that was tried", loc="left", fontsize=8.5)
        axes.tick_params(length=0)
        axes.spines["left"].set_visible(False)
