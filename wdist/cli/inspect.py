"""``wdist inspect ADDRESS``."""

from typing import Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.expansion import expanded
from wdist.cli.request import SourceOptions
from wdist.errors import ExitStatus


@expanded
def command(
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="A source, as for wdist estimate.")],
    sources: SourceOptions,
    json: opt.Json = False,
    debug: opt.Debug = False,
) -> int:
    """Say what a source holds: kind, count, shape, range, missing values, duplicates; of a checkpoint its keys.

    Example: wdist inspect 'generator.safetensors?factory=package.module:Generator'
    """
    import sys

    from wdist.cli.console import result_console
    from wdist.data.inspection import inspect_source

    inspection = inspect_source(address, sources.access())
    if json:
        from wdist.report.documents.document import facts_text

        sys.stdout.write(facts_text(inspection, command="inspect"))
    else:
        from wdist.report.terminal.facts import rendered_facts

        result_console().print(rendered_facts(inspection))
    return ExitStatus.DONE
