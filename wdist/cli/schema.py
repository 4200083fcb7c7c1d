"""``wdist schema``."""

from wdist.cli import options as opt


def command(debug: opt.Debug = False) -> int:
    """Print the JSON schema of the documents that --json and -o give."""
    import sys

    from wdist.errors import ExitStatus
    from wdist.report.document import schema

    sys.stdout.write(schema())
    return ExitStatus.DONE
