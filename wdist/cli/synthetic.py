"""``wdist synthetic``: built-in pairs whose W1 is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from wdist.cli import options as opt
from wdist.cli.estimate import delivered
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import UsageError

if TYPE_CHECKING:
    from wdist.data.sources.pairs import KnownPair

_PAIR = "Pair (exactly one of the first six)"


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Choice of a built-in pair."""

    absolute_value: bool = opt.flag(
        _PAIR, "", "0 against -1 and 1 on the line; W1 = 1, with potential |x|.", "--absolute-value", default=False
    )
    cones: int | None = opt.flag(_PAIR, "N", "N points of the plane against unit circles around them; W1 = 1.", min=1)
    sphere: int | None = opt.flag(_PAIR, "DIM", "The origin against the unit sphere in DIM dimensions; W1 = 1.", min=1)
    funnels: int | None = opt.flag(_PAIR, "N", "Min-funnel pair with N funnels in --dim dimensions.", min=1)
    gaussians: bool = opt.flag(
        _PAIR, "", "Two Gaussians in --dim dimensions, one shifted by --shift or scaled by --scale.", "--gaussians", default=False
    )
    shape: str | None = opt.flag(
        _PAIR,
        "NAME",
        "Normal samples in --dim dimensions against the same samples moved towards subspaces, shells, segments, curves, polytopes "
        "or mixed sets, or down a network.",
    )
    dim: int | None = opt.flag(_PAIR, "DIM", "Dimensions of --funnels, --gaussians and --shape. Default: 10.", min=1)
    shift: float | None = opt.flag(_PAIR, "X", "Distance between the means of --gaussians. Default: 1.")
    scale: float | None = opt.flag(_PAIR, "X", "Standard deviation of A in --gaussians with equal means; that of B is 1.")

    def __post_init__(self) -> None:
        named = {
            "--absolute-value": self.absolute_value or None,
            "--cones": self.cones,
            "--sphere": self.sphere,
            "--funnels": self.funnels,
            "--gaussians": self.gaussians or None,
            "--shape": self.shape,
        }
        chosen = [name for name, value in named.items() if value is not None]
        if len(chosen) != 1:
            problem = "no pair is named" if not chosen else f"{' and '.join(chosen)} name {len(chosen)} pairs"
            raise UsageError(f"{problem}; give exactly one of {', '.join(named)}, for example --cones 3")
        if self.shift is not None and self.scale is not None:
            raise UsageError("W1 of Gaussians that differ in both mean and scale is not known; give either --shift or --scale")
        any_dim = self.funnels is not None or self.gaussians or self.shape is not None
        belongs = {
            "--dim": (self.dim, any_dim, "--funnels, --gaussians or --shape"),
            "--shift": (self.shift, self.gaussians, "--gaussians"),
            "--scale": (self.scale, self.gaussians, "--gaussians"),
        }
        for name, (value, allowed, owner) in belongs.items():
            if value is not None and not allowed:
                raise UsageError(f"{name} belongs to {owner}, not to {chosen[0]}; leave it out")

    def make(self) -> KnownPair:
        """Makes the pair."""
        from wdist.data.sources import pairs

        if self.absolute_value:
            return pairs.absolute_value()
        if self.cones is not None:
            return pairs.cones(self.cones)
        if self.sphere is not None:
            return pairs.sphere(self.sphere)
        if self.funnels is not None:
            return pairs.funnels(self.dim or 10, self.funnels)
        if self.shape is not None:
            return pairs.descent(self.shape, self.dim or 10)
        if self.scale is not None:
            return pairs.gaussian_scale(self.dim or 10, self.scale)
        return pairs.gaussian_shift(self.dim or 10, 1.0 if self.shift is None else self.shift)


@opt.expanded
def command(
    pair: PairOptions,
    flags: opt.ComparedCritics,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("estimate")],
) -> int:
    """Bound W1 of a built-in pair whose W1 is known, from fresh draws, and show the truth beside the bounds.

    Example: wdist synthetic --cones 3 --plot cones.png
    """
    if flags.metric != "l2" and not pair.absolute_value:
        raise UsageError("W1 of this pair is known in the Euclidean metric only; leave --metric out")
    if flags.features is not None:
        raise UsageError("W1 of a built-in pair is not known between features; leave --features out, or use wdist estimate")
    options = flags.validated()
    outputs.check()
    with checkpoint.kept("synthetic", options, pair), outputs.observer() as observer:
        from wdist.estimation.estimate import run_estimate

        known = pair.make()
        result = run_estimate(known.a, known.b, options, observer=observer, truth=known.w1, command="synthetic")
    return delivered(outputs, result)
