"""How the critics of an estimate are told apart in its figures: their order, colours, dashes and titles."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wdist.report.figures.look import INK, MAIN, OTHERS
from wdist.report.numbers import at_most, nearest

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wdist.result import CriticResult, Estimate

_DASHES: tuple[Any, ...] = ("solid", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2)))
"""Where there are more critics than colours."""
LIMIT: Any = {"color": INK, "linewidth": 1.0, "linestyle": (0, (4, 3)), "zorder": 1}
"""The line of the truth, or of the upper bound."""


def critics_in_order(estimate: Estimate) -> list[CriticResult]:
    """Baselines from the worst to the best, then the main critic: the order in which the eye learns most."""
    return [*sorted(estimate.baselines, key=lambda critic: critic.population.estimate), estimate.critic]


def colours(estimate: Estimate) -> dict[str, str]:
    """Of each critic, by its name."""
    return {critic.name: OTHERS[i % len(OTHERS)] for i, critic in enumerate(estimate.baselines)} | {estimate.critic.name: MAIN}


def dashes(estimate: Estimate) -> dict[str, Any]:
    """Of each critic's line, by its name."""
    others = {critic.name: _DASHES[i // len(OTHERS) % len(_DASHES)] for i, critic in enumerate(estimate.baselines)}
    return others | {estimate.critic.name: _DASHES[0]}


def add_title(axes: Axes, critic: CriticResult, *, main: bool) -> None:
    """A panel's critic, with its objective value as it is named everywhere."""
    value = nearest(critic.population.estimate)
    told = f"held-out {value}" if critic.certified else f"{value}, not a bound"
    axes.set_title(f"{critic.name}\n{told}", fontweight="bold" if main else "normal", color=MAIN if main else INK)


def reference(estimate: Estimate) -> tuple[float, str] | None:
    """What the critics are held against, and its name: the truth, else the upper bound for the samples."""
    if estimate.truth is not None:
        return estimate.truth, f"true $W_1$, {nearest(estimate.truth)}"
    if estimate.samples.upper is not None:
        if estimate.samples.exact:
            return estimate.samples.upper, f"exact $W_1$ of the samples, {nearest(estimate.samples.upper)}"
        return estimate.samples.upper, f"upper bound, {at_most(estimate.samples.upper)}"
    return None


def panel_grid(panels: int, *, columns: int) -> tuple[int, int]:
    """Rows and columns of so many panels, at most ``columns`` in a row."""
    columns = min(panels, columns)
    return -(-panels // columns), columns
