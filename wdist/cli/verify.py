"""``wdist verify CRITIC A B``."""

from pathlib import Path
from typing import Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus, SourceError


@opt.expanded
def command(
    critic: Annotated[Path, typer.Argument(metavar="CRITIC", help="Critic saved by --save-critic, ending in .safetensors.")],
    a: Annotated[str | None, typer.Argument(metavar="A", help="First source. Default: the address that was saved.")] = None,
    b: Annotated[str | None, typer.Argument(metavar="B", help="Second source. Default: the address that was saved.")] = None,
    *,
    device: Annotated[str, opt.option("Sources", "NAME", "Where to draw samples: auto, cpu, cuda or cuda:1.")] = "cpu",
    features: opt.Features = None,
    sources: opt.SourceOptions,
    outputs: Annotated[Outputs, OutputOptions("verify")],
) -> int:
    """Prove the bounds of a saved critic again from its weights and the samples, without training.

    Exit status 4 if a weight, a sample or a claimed number was changed.

    Example: wdist verify critic.safetensors a.h5 b.h5
    """
    if not critic.is_file():
        raise SourceError(f"there is no file {critic}; name a critic that `wdist estimate A B --save-critic FILE` wrote")
    from wdist.estimation.verification import load_claimed

    _, claim = load_claimed(critic)
    named = (str(critic), a or claim.a, b or claim.b, features or claim.features or "")
    outputs.check(inputs=named)
    with outputs.observer() as observer:
        from wdist.estimation.verification import verify

        found = verify(critic, a, b, access=sources.access(), features=features, device=device, observer=observer)
    outputs.deliver(found, critic=str(critic))
    return ExitStatus.DONE if found.ok else ExitStatus.NOT_CERTIFIED
