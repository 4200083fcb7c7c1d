"""``wdist inspect ADDRESS``."""

from typing import Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.errors import ExitStatus


@opt.expanded
def command(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A source, as for wdist estimate.")],
    sources: opt.SourceOptions,
    outputs: Annotated[Outputs, OutputOptions("inspect")],
) -> int:
    """Describe a source: kind, count, shape, range, missing values, duplicates; for a checkpoint, its keys.

    Example: wdist inspect 'generator.safetensors?factory=package.module:Generator'
    """
    outputs.check(inputs=(address,))
    from wdist.data.inspection import inspect_source

    outputs.deliver(inspect_source(address, sources.access()))
    return ExitStatus.DONE
