"""``wdist robust MODEL DATA``: certified and attacked accuracy of a classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs

if TYPE_CHECKING:
    from wdist.data.access import Access
    from wdist.robustness.robust import RobustOptions

_ATTACK = "Attack"


@dataclass(frozen=True, kw_only=True)
class RobustFlags:
    """Perturbations, required accuracy and attack; the library validates them."""

    eps: Annotated[float, opt.option(None, "X", "Largest size of a perturbation, in the units of the data.")]
    norm: str = opt.flag(None, "NAME", "Norm of a perturbation: l2 or linf (largest change).", default="l2")
    min: float | None = opt.flag(
        None,
        "ACCURACY",
        "Required accuracy, such as 0.9: pass if it is certified, fail if the attack leaves less, else inconclusive.",
    )
    labels: str | None = opt.flag(
        "Sources", "ADDRESS", "Class numbers. Default: those of the dataset, or of the array labels in the same file."
    )
    iterations: int = opt.flag(_ATTACK, "N", "Steps of the attack from each start; 0 for no attack.", min=0, default=200)
    restarts: int = opt.flag(_ATTACK, "N", "Number of random starts of the attack.", min=1, default=2)
    seed: int = opt.flag(_ATTACK, "N", "Seed of the random starts.", min=0, callback=opt.check_seed, default=0)
    device: str = opt.flag(_ATTACK, "NAME", "Where to attack: auto, cpu, cuda or cuda:1.", default="auto")

    def options(self, access: Access) -> RobustOptions:
        """The options as an object of the library."""
        from wdist.robustness.robust import RobustOptions

        own = {name: getattr(self, name) for name in ("eps", "norm", "iterations", "restarts", "seed", "device")}
        return RobustOptions(**own, minimum=self.min, access=access)


@opt.expanded
def command(
    model: Annotated[
        str, opt.argument("MODEL", "A classifier saved by wdist: c.safetensors; or a network: w.pt?factory=module:Class.")
    ],
    data: Annotated[str, opt.argument("DATA", "Labelled samples: torchvision:MNIST?split=test, images.h5, ...")],
    flags: RobustFlags,
    sources: opt.SourceOptions,
    outputs: Annotated[Outputs, OutputOptions("robust")],
) -> int:
    """Certify how many samples a classifier gets right under every perturbation of a given size, and attack the others.

    The error under the worst perturbations lies between the attacked and the certified error. With --min the exit status is 0
    for pass, 1 for fail and 3 for inconclusive.

    Example: wdist robust classifier.safetensors 'torchvision:MNIST?split=test' --eps 0.1 --norm linf --min 0.8
    """
    outputs.check(sources=[model, data], inputs=filter(None, [flags.labels]))
    options = flags.options(sources.access())
    from wdist.robustness.robust import run_robust

    with outputs.observer() as observer:
        found = run_robust(model, data, flags.labels, options=options, observer=observer)
    return outputs.deliver(found, status=found.exit_status, if_interrupted="the attack is incomplete, but all numbers hold")
