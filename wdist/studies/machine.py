"""The machine that a study runs on, the commit of the code, processes and their memory, and the expected speed of training."""

import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import psutil
import torch

R = TypeVar("R")
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment variables that limit numerical libraries to one thread."""

_CPU_INFO, _STATUS = Path("/proc/cpuinfo"), Path("/proc/self/status")
_SIZE = 512
_MEASURED_SECONDS = 0.15
_REACHED = 0.5  # speed of training over that of large matrix products; fitted to trainings on two cores

_SORTED_UNIT = 400.0  # sorting one unit, forward and backward, takes as long as this many operations
_STEP = 2e8  # the calls of one step take as long as this many operations, whatever its sizes


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Hardware that measured times depend on."""

    processor: str
    """Model name reported by the operating system."""
    cores: int
    """Logical cores that this process may use."""
    memory: int
    """Bytes."""


def this_machine() -> Machine:
    """The machine that this process runs on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(processor=_processor(), cores=cores, memory=psutil.virtual_memory().total)


def peak_bytes() -> int:
    """Peak resident memory of this process.

    On Linux ``getrusage`` is not used, because its peak includes that of the process that started this one.
    """
    try:
        return next(int(line.split()[1]) * 1024 for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource  # missing on Windows

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def in_own_process(work: Callable[..., R], *arguments: object) -> R:
    """Runs ``work`` in a new process, whose peak memory is that of the work alone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def machine_rate(device: torch.device) -> float:
    """Operations per second of training on a device, estimated from a fraction of a second of large matrix products."""
    A = torch.randn(_SIZE, _SIZE, device=device)
    B = A @ A
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < _MEASURED_SECONDS:
        B = A @ A
        steps += 1
        if device.type == "cuda":
            float(B[0, 0])
    return _REACHED * 2 * _SIZE**3 * steps / (time.perf_counter() - began)


def critic_operations(*, dim: int, width: int, depth: int, batch: int, steps: int, muon: bool = True, outputs: int = 1) -> float:
    """Floating-point operations of one training with ``batch`` rows in a forward pass; Muon adds those of its updates."""
    weights = dim * width + (depth - 2) * width * width + width * outputs
    cubic = min(dim, width) * dim * width + (depth - 2) * width**3
    products = 6 * batch * weights + (22 if muon else 2) * cubic
    return float(steps * (products + batch * width * (depth - 1) * _SORTED_UNIT + _STEP))


def commit() -> str | None:
    """Commit of the checkout that holds this code, with ``+`` if tracked files differ from it; None outside a checkout."""
    try:
        _git("ls-files", "--error-unmatch", Path(__file__).name)  # a virtual environment may lie in another project's checkout
        revision = _git("rev-parse", "--short=12", "HEAD")
        return revision + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(*arguments: str) -> str:
    folder = Path(__file__).resolve().parent
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=True, timeout=10)
    return done.stdout.strip()


def _processor() -> str:
    # platform.processor() is empty or no more than the architecture on Linux.
    if _CPU_INFO.is_file():
        for line in _CPU_INFO.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
