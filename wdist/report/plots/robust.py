"""The robustness of a classifier as a figure: the certified error by the size of perturbations, and the error under the attack."""

from matplotlib.figure import Figure

from wdist.report.numbers import percentage
from wdist.report.plots.figure import FAINT, INK, LIMIT, MAIN, SIDE_A, tidy
from wdist.report.sentences import NORMS
from wdist.robustness.robust import Robustness


def draw_robust(found: Robustness) -> Figure:
    """A curve of certified errors, a bar from the attacked to the certified error at the requested size, and the minimum."""
    figure = Figure(figsize=(7.6, 3.8), layout="constrained")
    axes = figure.subplots()
    sizes, errors = [point.eps for point in found.curve], [100 * point.certified_error for point in found.curve]
    # Between two sizes the error is at most that of the larger one: a line between them would be no bound.
    axes.step(sizes, errors, where="pre", color=MAIN, linewidth=1.8, label="certified: at most, under every perturbation")
    axes.axhline(100 * found.clean_error, color=INK, linewidth=1.0, linestyle=(0, (1, 1.5)), label="clean: without perturbation")
    ends = (100 * found.attacked_error, 100 * found.certified_error)
    axes.plot((found.eps, found.eps), ends, color=FAINT, linewidth=6, solid_capstyle="butt", zorder=1)
    axes.plot(found.eps, ends[0], "o", color=SIDE_A, markersize=6, label="attacked: at least", zorder=4)
    for value, height, shift in ((found.attacked_error, ends[0], (8, -12)), (found.certified_error, ends[1], (-40, 6))):
        axes.annotate(percentage(value), (found.eps, height), xytext=shift, textcoords="offset points", fontsize=8.5)
    if found.minimum is not None:
        axes.axhline(100 * (1 - found.minimum), label="limit of --min", **LIMIT)
    axes.set(xlim=(0, sizes[-1] or 1.0), ylim=(0, 100), ylabel=f"error of {found.count:,} samples in %")
    axes.set_xlabel(f"size of a perturbation in {NORMS[found.norm]}", loc="left")
    axes.legend(frameon=False, fontsize=8.5, loc="best")
    tidy(axes, grid="y")
    return figure
