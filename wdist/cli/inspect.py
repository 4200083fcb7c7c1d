"""``wdist inspect ADDRESS``."""

from typing import Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs


@opt.expanded
def command(
    address: Annotated[str, opt.argument("ADDRESS", "A source, as for wdist estimate.")],
    other: Annotated[
        str | None, opt.argument("OTHER", "Another table, to show each column's share of the distance between the two.")
    ] = None,
    *,
    sources: opt.SourceOptions,
    outputs: Annotated[Outputs, OutputOptions("inspect")],
) -> int:
    """Describe a source: kind, count, shape, range, missing values, duplicates; the columns of a table, the keys of a checkpoint.

    A table is described even if it cannot be compared yet.

    Example: wdist inspect 'generator.safetensors?factory=package.module:Generator'
    """
    outputs.check(sources=(address,) if other is None else (address, other))
    from wdist.data.inspection import inspect_source

    return outputs.deliver(inspect_source(address, sources.access(), other=other))
