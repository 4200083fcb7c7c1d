"""``wdist dependence TABLE --columns a,b --with c,d``."""

from typing import Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs


@opt.expanded
def command(
    table: Annotated[str, opt.argument("TABLE", "Table of independent rows: patients.csv, ...")],
    columns: Annotated[str, opt.option(None, "NAMES", "Columns on one side, separated by commas.", "--columns")],
    flags: opt.EstimateFlags,
    sources: opt.ScaledTableOptions,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("dependence")],
    with_: Annotated[str | None, opt.option(None, "NAMES", "Columns on the other side. Default: all others.", "--with")] = None,
) -> int:
    """Measure how far some columns of a table are from being independent of others, and test independence.

    Bounds W1 between their joint distribution and the product of their marginal distributions, which is 0 only for independent
    columns and reveals dependence that correlation misses. The p-value is exact for any number of rows.

    Example: wdist dependence patients.csv --columns dose,age --with outcome
    """
    options = flags.validated(sources.access(), baselines="none")
    outputs.check(sources=[table], inputs=flags.inputs)
    x, y = _names(columns) or [], _names(with_)
    with checkpoint.kept("dependence", options, columns=x, with_=y), outputs.observer() as observer:
        from wdist.dependences.dependence import run_dependence

        found = run_dependence(table, x, y, options, observer=observer)
    return outputs.deliver(found, if_interrupted="the test is complete, and the bounds shown are still proved")


def _names(words: str | None) -> list[str] | None:
    return None if words is None else [name.strip() for name in words.split(",") if name.strip()]
