"""The ``wdist`` command, also as ``python -m wdist``."""

import sys


def main() -> int:
    """Runs the command line; Ctrl-C during its import is reported like any other."""
    try:
        from wdist.cli.main import main as command_line
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted before there was a result\n")
        return 130
    return command_line()


if __name__ == "__main__":
    sys.exit(main())
