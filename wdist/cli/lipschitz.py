"""``wdist lipschitz MODEL``."""

from dataclasses import dataclass
from typing import Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.data.access import Access
from wdist.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class LipschitzFlags:
    """The norm, and the points where slopes are bounded."""

    norm: str = opt.flag("Bounds", "NAME", "Norm of inputs and outputs: l2 (Euclidean) or linf (largest coordinate).", default="l2")
    shape: str | None = opt.flag("Bounds", "SIZES", "Shape of one sample, as in 3x32x32. Default: from the file or the points.")
    at: str | None = opt.flag("Bounds", "SOURCE", "Also bound the slopes at the samples of a source: points.npy, images/, ...")
    radius: float | None = opt.flag("Bounds", "R", "Bound slopes within balls of this radius, in the norm. Default: 0.", min=0)
    points: int = opt.flag("Bounds", "N", "Number of points to take from SOURCE.", min=1, default=100)
    seed: opt.Seed = 0

    @property
    def sizes(self) -> tuple[int, ...] | None:
        """The shape of a sample as numbers."""
        if self.shape is None:
            return None
        parts = self.shape.split("x")
        if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
            raise UsageError(f"--shape {self.shape} is not a shape; write for example --shape 3x32x32")
        return tuple(map(int, parts))


@opt.expanded
def command(
    model: Annotated[
        str, opt.argument("MODEL", "A network: model.pt2, model.onnx, model.ts, 'model.safetensors?factory=pkg.mod:Class'.")
    ],
    flags: LipschitzFlags,
    outputs: Annotated[Outputs, OutputOptions("lipschitz")],
    *,
    download: opt.Download = False,
    trust: opt.Trust = False,
) -> int:
    """Bound the Lipschitz constant of a network: from above by a proof, from below by a search.

    Exit status 4 if no upper bound is proved.

    Example: wdist lipschitz 'model.safetensors?factory=package.module:Model' --trust
    """
    outputs.check(sources=[model, *filter(None, [flags.at])])
    from wdist.bounds.lipschitz.constant import LipschitzOptions, run_lipschitz
    from wdist.training.observer import Stage

    options = LipschitzOptions(norm=flags.norm, shape=flags.sizes, radius=flags.radius, points=flags.points, seed=flags.seed)
    with outputs.observer() as observer:
        access = Access(trust=trust, download=download)
        found = run_lipschitz(model, options, at=flags.at, access=access, tell=lambda what: observer.notify(Stage(what=what)))
    return outputs.deliver(found, status=found.exit_status, if_interrupted="the search is incomplete, but all numbers hold")
