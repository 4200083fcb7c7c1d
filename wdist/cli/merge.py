"""``wdist merge FILE...``."""

from pathlib import Path
from typing import Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus


@opt.expanded
def command(
    documents: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Documents that -o wrote for the shards of one run: all of them.")
    ],
    outputs: Annotated[Outputs, OutputOptions("merge")],
) -> int:
    """Put the shards of a comparison or a suite together, as one run would have found it.

    Example: wdist merge first.json second.json -o whole.json
    """
    outputs.check(inputs=[str(path) for path in documents])
    from wdist.report.merging import merged

    result = merged(documents)
    outputs.deliver(result, warnings=getattr(result, "warnings", ()))
    return ExitStatus.DONE
