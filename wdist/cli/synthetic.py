"""``wdist synthetic``: built-in pairs whose W1 is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from wdist.cli import options as opt
from wdist.errors import UsageError

if TYPE_CHECKING:
    from wdist.sources.pairs import KnownPair

_PAIR = "Pair (exactly one of the first five)"


def command(
    absolute_value: Annotated[
        bool,
        typer.Option(
            "--absolute-value",
            metavar="",
            rich_help_panel=_PAIR,
            help="0 against -1 and 1 on the line; W1 = 1, the potential is |x|.",
        ),
    ] = False,
    cones: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=1, rich_help_panel=_PAIR, help="N points of the plane against unit circles around them; W1 = 1."
        ),
    ] = None,
    sphere: Annotated[
        int | None,
        typer.Option(
            metavar="DIM", min=1, rich_help_panel=_PAIR, help="The origin against the unit sphere in DIM dimensions; W1 = 1."
        ),
    ] = None,
    funnels: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, rich_help_panel=_PAIR, help="Min-funnel pair with N funnels in --dim dimensions."),
    ] = None,
    gaussians: Annotated[
        bool,
        typer.Option(
            "--gaussians",
            metavar="",
            rich_help_panel=_PAIR,
            help="Two Gaussians in --dim dimensions, one moved by --shift or widened by --scale.",
        ),
    ] = False,
    dim: Annotated[
        int | None,
        typer.Option(metavar="DIM", min=1, rich_help_panel=_PAIR, help="Dimensions of --funnels and --gaussians. Default: 10."),
    ] = None,
    shift: Annotated[
        float | None,
        typer.Option(metavar="X", rich_help_panel=_PAIR, help="Distance between the means of --gaussians. Default: 1."),
    ] = None,
    scale: Annotated[
        float | None,
        typer.Option(metavar="X", rich_help_panel=_PAIR, help="Width of A in --gaussians of one mean; that of B is 1."),
    ] = None,
    steps: opt.Steps = None,
    budget: opt.BudgetOption = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    batch_size: opt.BatchSize = None,
    optimizer: opt.Optimizer = None,
    learning_rate: opt.LearningRate = None,
    schedule: opt.Schedule = None,
    width: opt.Width = None,
    depth: opt.Depth = None,
    group_size: opt.GroupSize = None,
    bjorck_order: opt.BjorckOrder = None,
    lipschitz: opt.Lipschitz = None,
    baselines: opt.Baselines = "default",
    confidence: opt.Confidence = 0.95,
    ci: opt.ConfidenceMethod = "welch",
    json: opt.Json = False,
    output: opt.Output = None,
    plot: opt.Plot = None,
    save_critic: opt.SaveCritic = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """The same on a built-in pair with known W1: fresh samples without end, the truth beside the bound.

    Example: wdist synthetic --cones 3 --plot cones.png
    """
    from wdist.cli.console import notes_console
    from wdist.cli.delivery import Delivery
    from wdist.cli.request import checked_budget, checked_confidence, named_baselines
    from wdist.critics.settings import CriticSettings
    from wdist.report.progress import display_on
    from wdist.training.observer import Stage

    make_pair = _chosen_pair(
        absolute_value=absolute_value,
        cones=cones,
        sphere=sphere,
        funnels=funnels,
        gaussians=gaussians,
        dim=dim,
        shift=shift,
        scale=scale,
    )
    delivery = Delivery(json=json, output=output, plot=plot, save_critic=save_critic, quiet=quiet)
    delivery.check()
    limit = checked_budget(steps, budget)
    others = named_baselines(baselines)
    level = checked_confidence(confidence)
    settings = CriticSettings(
        width=width,
        depth=depth,
        group_size=group_size,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        bjorck_order=bjorck_order,
        lipschitz=lipschitz,
    )
    with display_on(notes_console(), quiet=quiet) as observer:
        observer.notify(Stage(what="making the pair"))
        from wdist.estimation import estimate

        pair = make_pair()
        result = estimate(
            pair.a,
            pair.b,
            settings=settings,
            budget=limit,
            baselines=others,
            confidence=level,
            ci=ci,
            seed=seed,
            device=device,
            observer=observer,
            truth=pair.w1,
            command="synthetic",
        )
    return delivery.deliver(result)


def _chosen_pair(
    *,
    absolute_value: bool,
    cones: int | None,
    sphere: int | None,
    funnels: int | None,
    gaussians: bool,
    dim: int | None,
    shift: float | None,
    scale: float | None,
) -> Callable[[], KnownPair]:
    """What makes the one pair that was named.

    Raises:
        UsageError: none or several are named, or an option belongs to another pair.
    """
    named = {
        "--absolute-value": absolute_value or None,
        "--cones": cones,
        "--sphere": sphere,
        "--funnels": funnels,
        "--gaussians": gaussians or None,
    }
    chosen = [name for name, value in named.items() if value is not None]
    if len(chosen) != 1:
        problem = "no pair is named" if not chosen else f"{' and '.join(chosen)} name {len(chosen)} pairs"
        raise UsageError(f"{problem}; give exactly one of {', '.join(named)}, for example --cones 3")
    if shift is not None and scale is not None:
        raise UsageError("the W1 of Gaussians that differ in mean and width is not known; give either --shift or --scale")
    belongs = {
        "--dim": (dim, funnels is not None or gaussians, "--funnels or --gaussians"),
        "--shift": (shift, gaussians, "--gaussians"),
        "--scale": (scale, gaussians, "--gaussians"),
    }
    for name, (value, allowed, owner) in belongs.items():
        if value is not None and not allowed:
            raise UsageError(f"{name} belongs to {owner}, not to {chosen[0]}; leave it out")

    def make() -> KnownPair:
        from wdist.sources import pairs

        if absolute_value:
            return pairs.absolute_value()
        if cones is not None:
            return pairs.cones(cones)
        if sphere is not None:
            return pairs.sphere(sphere)
        if funnels is not None:
            return pairs.funnels(dim or 10, funnels)
        if scale is not None:
            return pairs.gaussian_scale(dim or 10, scale)
        return pairs.gaussian_shift(dim or 10, 1.0 if shift is None else shift)

    return make
