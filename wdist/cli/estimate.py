"""``wdist estimate A B``."""

from typing import Annotated, Any

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus


@opt.expanded
def command(
    a: opt.AddressA,
    b: opt.AddressB,
    flags: opt.ComparedCritics,
    sources: opt.TableOptions,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("estimate")],
) -> int:
    """Bound W1 between two sample sets, and between the distributions that they were drawn from.

    Example: wdist estimate a.h5 b.h5 --budget 1m -o result.json --plot result.png
    """
    options = flags.validated(sources.access())
    outputs.check(sources=(a, b), inputs=flags.inputs)
    with checkpoint.kept("estimate", options), outputs.observer() as observer:
        from wdist.estimation.estimate import run_estimate

        result = run_estimate(a, b, options, observer=observer)
    return delivered(outputs, result)


def delivered(outputs: Outputs, result: Any) -> ExitStatus:
    """Delivers an estimate and returns the exit status of the command."""
    status = ExitStatus.DONE if result.tolerance is None or result.closed else ExitStatus.NOT_CERTIFIED
    return outputs.deliver(result, status=status, if_interrupted="the bounds shown are still proved")
