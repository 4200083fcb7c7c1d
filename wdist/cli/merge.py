"""``wdist merge FILE...``."""

from pathlib import Path
from typing import Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus


@opt.expanded
def command(
    documents: Annotated[list[Path], opt.argument("FILE...", "The documents of all shards of one run, written by -o.")],
    outputs: Annotated[Outputs, OutputOptions("merge")],
) -> int:
    """Join the shards of a comparison or a suite into the result of one run.

    Example: wdist merge first.json second.json -o whole.json
    """
    outputs.check(inputs=[str(path) for path in documents])
    from wdist.report.merging import merged

    outputs.deliver(merged(documents))
    return ExitStatus.DONE  # also for the shards of an interrupted run
