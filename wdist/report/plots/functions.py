"""Critics of the line, drawn as functions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wdist.report.plots.figure import FAINT, MAIN, SIDE_A, SIDE_B, add_title, colours, critics_in_order, panel_grid
from wdist.report.plots.potentials import dots, potentials

if TYPE_CHECKING:
    from wdist.estimation.result import Estimate
    from wdist.report.plots.estimate import Area


_COLUMNS = 4
_GRID_POINTS = 644


class Functions:
    """One panel a critic: its potential over the line, and where the samples of both sides lie."""

    def __init__(self, estimate: Estimate) -> None:
        self._estimate = estimate
        self._critics = critics_in_order(estimate)
        self._panels = panel_grid(len(self._critics), columns=_COLUMNS)
        rows, columns = self._panels
        self.size = (max(2.75 * columns, 5.5), 2.7 * rows + 0.7)

    def draw_in(self, area: Area) -> None:
        estimate = self._estimate
        assert estimate.preview is not None
        a, b = (dots(side)[:, 0] for side in estimate.preview)
        lowest, highest = min(a.min(), b.min()), max(a.max(), b.max())
        margin = 0.2 * (highest - lowest) or 1.0
        x = np.linspace(lowest - margin, highest + margin, _GRID_POINTS)
        curves = {critic.name: potentials(critic, x[:, None], anchor=b[:, None]) for critic in self._critics}
        axes = area.subplots(*self._panels, sharex=True, sharey=True, squeeze=False)
        top = max(curve.max() for curve in curves.values())
        bottom = min(curve.min() for curve in curves.values())
        rug = bottom - 0.1 * (top - bottom)
        for panel, critic in zip(axes.flat, self._critics, strict=False):
            main = critic is estimate.critic
            panel.plot(x, curves[critic.name], color=MAIN if main else colours(estimate)[critic.name], linewidth=2.2)
            for side, colour, height in ((a, SIDE_A, rug), (b, SIDE_B, rug - 0.07 * (top - bottom))):
                panel.plot(side, np.full(side.shape, height), "|", color=colour, markersize=7, alpha=0.5)
            add_title(panel, critic, main=main)
            panel.set_ylim(rug - 0.14 * (top - bottom), top + 0.08 * (top - bottom))
            panel.grid(color=FAINT, linewidth=0.6)
            panel.set_axisbelow(True)
            panel.tick_params(length=0)
        for unused in axes.flat[len(self._critics) :]:
            unused.set_visible(False)
        first = axes[0, 0]
        first.set_ylabel("potential, mean 0 on B")
        right = x[-1]
        first.text(right, rug, "A ", color=SIDE_A, ha="right", va="center", fontsize=8.5, fontweight="bold")
        first.text(right, rug - 0.07 * (top - bottom), "B ", color=SIDE_B, ha="right", va="center", fontsize=8.5, fontweight="bold")
