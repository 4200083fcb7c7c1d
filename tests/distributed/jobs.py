"""Jobs of several processes, started by torchrun as users start them."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def command(*words, processes, restarts=0):
    launcher = (
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        processes,
        "--max-restarts",
        restarts,
    )
    return [*map(str, launcher), *map(str, words)]


def environment():
    own = {name: value for name, value in os.environ.items() if name not in ("RANK", "WORLD_SIZE")}
    return {**own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def run(*words, processes=2, restarts=0, timeout=120):
    return subprocess.run(
        command(*words, processes=processes, restarts=restarts),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def errors(text):
    """Errors that the processes printed; torchrun's own report is not among it."""
    return [line.removeprefix("error: ") for line in text.splitlines() if line.startswith("error: ")]
