"""``wdist drift REFERENCE CURRENT``."""

from typing import Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs


@opt.expanded
def command(
    reference: Annotated[str, opt.argument("REFERENCE", "Reference table: march.csv, ...")],
    current: Annotated[str, opt.argument("CURRENT", "Table to judge, with the same columns: april.csv, ...")],
    flags: opt.EstimateFlags,
    sources: opt.ScaledTableOptions,
    checkpoint: opt.CheckpointOptions,
    outputs: Annotated[Outputs, OutputOptions("drift")],
    max: Annotated[
        str | None,
        opt.option(
            None,
            "T",
            "Judge the joint distance instead of the tests, as wdist gate does: a distance, or reference+10% or 3sd, "
            "relative to the reference against itself, between blocks of few rows.",
        ),
    ] = None,
) -> int:
    """Find what changed between two tables: columns, their dependence, and the joint distribution.

    Each column is divided by its standard deviation in the reference unless --scale says otherwise. Where nothing changed, drift is
    reported with probability at most 1 - --confidence. Exit status: 0 no drift found, 1 drift; with --max 0 pass, 1 fail, 3
    inconclusive.

    Example: wdist drift march.csv april.csv --html drift.html
    """
    options = flags.validated(sources.access(), baselines="none")
    outputs.check(sources=(reference, current), inputs=flags.inputs)
    with checkpoint.kept("drift", options, max=max), outputs.observer() as observer:
        from wdist.drifts.drift import run_drift
        from wdist.gates.limits import maximum_of

        found = run_drift(reference, current, options, maximum=maximum_of(max), observer=observer)
    kept = "the tests are complete, and the bounds shown are still proved"
    return outputs.deliver(found, status=found.exit_status, if_interrupted=kept)
