"""``python -m wdist``: the same as the ``wdist`` command."""

import sys

from wdist.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
