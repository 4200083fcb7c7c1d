"""``wdist compare REF G1 G2 ...``."""

from typing import Annotated

from wdist.arguments import read_shard
from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus, UsageError

_WITNESSES = 16


@opt.expanded
def command(
    reference: Annotated[
        str, opt.argument("REF", "Reference that all others are compared with: a.h5, images/, torchvision:MNIST, ...")
    ],
    ranked: Annotated[list[str], opt.argument("SOURCE", "Sources to rank: generators, or any sources; one or more.")],
    flags: opt.EstimateFlags,
    sources: opt.TableOptions,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("compare")],
    names: Annotated[
        str | None, opt.option(None, "N1,N2,...", "Names of the sources. Default: the ends of their addresses.")
    ] = None,
    shard: opt.Shard = None,
) -> int:
    """Rank sources by their distance from one reference, and say which order is proved.

    Example: wdist compare real.h5 early.h5 late.h5 --budget 1m --plot ranking.png
    """
    options = flags.validated(sources.access(), baselines="none")
    named = None if names is None else [name.strip() for name in names.split(",")]
    if named is not None and len(named) != len(ranked):
        raise UsageError(
            f"--names has {len(named)} names for {len(ranked)} sources; give each source one name, separated by commas"
        )
    part = read_shard(shard)
    outputs.check(sources=[reference, *ranked], inputs=flags.inputs)
    witnesses = _WITNESSES if any(each.name == "witness" for each in outputs.files) else 0
    with checkpoint.kept("compare", options, sources=len(ranked), shard=shard), outputs.observer() as observer:
        from wdist.comparison.compare import run_comparison

        comparison = run_comparison(reference, ranked, options, names=named, witnesses=witnesses, shard=part, observer=observer)
    status = ExitStatus.NOT_CERTIFIED if comparison.left_out else ExitStatus.DONE
    return outputs.deliver(comparison, status=status, if_interrupted="everything shown is still proved")
