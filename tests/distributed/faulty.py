"""The command line in a job whose last process has one fault: ``torchrun faulty.py FAULT WORDS...``."""

import os
import signal
import sys
from pathlib import Path

from wdist.cli import main
from wdist.estimation import estimate

LAST = os.environ["RANK"] == str(int(os.environ["WORLD_SIZE"]) - 1)


def bug(pair):
    raise ZeroDivisionError("a bug on one process")


def killed(*anything, **more):
    os.kill(os.getpid(), signal.SIGKILL)


def hangs(pair):
    Path(os.environ["REACHED"]).touch()
    signal.pause()


def inject(fault):
    if fault == "versions":
        main.versions = lambda: "wdist 0.0.9"
    elif fault == "data":
        estimate.open_pair = lambda a, b, opened=estimate.open_pair, **how: opened(b, a, **how)
    elif fault == "killed once" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        estimate.block_distances = killed  # after critics are found
    elif fault != "killed once":
        estimate.fingerprint = {"bug": bug, "killed": killed, "hangs": hangs}[fault]


fault = sys.argv.pop(1)
if LAST:
    inject(fault)
sys.exit(main.main())
