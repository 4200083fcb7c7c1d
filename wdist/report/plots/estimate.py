"""An estimate as a figure: its critics as functions or surfaces, or their learning curves; compared critics also as bars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure

from wdist.report.numbers import at_most, level, lower_bound, nearest
from wdist.report.plots.critics import CriticBars, LearningCurves, TriedCritics
from wdist.report.plots.figure import figure_file
from wdist.report.plots.potentials import Functions, Surfaces

if TYPE_CHECKING:
    from collections.abc import Callable

    from wdist.estimation.result import Estimate
    from wdist.report.plots.figure import Part


def draw(estimate: Estimate) -> Figure:
    """Functions in one dimension, surfaces in two, learning curves otherwise, and bars where critics are compared.

    Below them, what a critic was chosen from.
    """
    pictures: dict[int, Callable[[Estimate], Part]] = {1: Functions, 2: Surfaces} if estimate.preview is not None else {}
    picture = pictures.get(estimate.critic.frozen.dim)
    parts: list[Part] = []
    if estimate.detailed or picture is None:
        parts += [CriticBars(estimate), LearningCurves(estimate)] if estimate.detailed else [LearningCurves(estimate)]
    if picture is not None:
        parts.append(picture(estimate))
    parts += [TriedCritics(critic.tried) for critic in estimate.critics if critic.tried]
    widths, heights = [part.size[0] for part in parts], [part.size[1] for part in parts]
    figure = Figure(figsize=(max(widths), sum(heights) + 0.4 * (len(parts) > 1)), layout="constrained")
    figure.suptitle(_headline(estimate), fontsize=12, **({"x": 0.02, "ha": "left"} if len(parts) > 1 or picture is None else {}))
    areas: Any = [figure] if len(parts) == 1 else figure.subfigures(len(parts), 1, height_ratios=heights)
    for part, area in zip(parts, areas, strict=True):
        part.draw_in(area)
    return figure


figure_bytes = figure_file(draw)


def _headline(estimate: Estimate) -> str:
    if estimate.truth is not None:
        population = estimate.population
        bound = f"$W_1 \\geq$ {lower_bound(population.lower)}"
        if population.upper is not None:
            bound = f"{lower_bound(population.lower)} $\\leq W_1 \\leq$ {at_most(population.upper)}"
        bound += f" with {level(population.confidence)} confidence"
        return f"{bound};  true $W_1$ = {nearest(estimate.truth)}"
    lower, upper = lower_bound(estimate.samples.lower), estimate.samples.upper
    if upper is None:
        return f"$W_1 \\geq$ {lower} between the samples"
    if estimate.samples.exact:
        return f"$W_1$ = {nearest(upper)} between the samples"
    return f"{lower} $\\leq W_1 \\leq$ {at_most(upper)} between the samples"
