"""``wdist schema``."""

from typing import Annotated

from wdist.cli import options as opt
from wdist.errors import ExitStatus, UsageError


def command(
    of: Annotated[str, opt.argument("COMMAND", "A command that writes a document, such as compare, gate or drift.")] = "estimate",
    debug: opt.Debug = False,
) -> int:
    """Print the JSON schema of the document that a command writes with --json or -o. Default: estimate.

    Example: wdist schema verify
    """
    import sys

    from wdist.report.documents.forms import COMMANDS, schema

    if of not in COMMANDS:
        raise UsageError(f"the document of {of!r} has no published schema; name one of {', '.join(COMMANDS)}")
    sys.stdout.write(schema(of))
    return ExitStatus.DONE
