"""The environment of a run: the version of wdist, the device, the machine."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wdist.distributed.job import local_rank
from wdist.distributed.processes import world_size
from wdist.errors import DeviceError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a result was computed."""

    wdist: str
    python: str
    torch: str
    platform: str
    device: str
    threads: int
    precision: str
    """Precision of training and of the certificate, in words."""
    world_size: int = 1
    """Number of processes that shared the work."""


def environment(device: torch.device) -> Environment:
    """Describes this machine and the versions in use."""
    import torch

    return Environment(
        wdist=package_version(),
        python=platform.python_version(),
        torch=torch.__version__,
        platform=platform.platform(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {platform.machine()}",
        threads=torch.get_num_threads(),
        precision=f"training float32{', products TF32' if device.type == 'cuda' else ''}; certificate and bounds float64",
        world_size=world_size(),
    )


def package_version() -> str:
    """Version of the installed package; ``unknown`` if it was never installed."""
    # Imported here: it takes longer than everything else that `import wdist` does.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wdist")
    except PackageNotFoundError:
        return "unknown"


def versions() -> str:
    """Versions of wdist and of torch, in words."""
    import torch

    return f"wdist {package_version()}, torch {torch.__version__}"


def choose_device(name: str = "auto") -> torch.device:
    """Returns the device called ``name``; ``auto`` is the GPU if there is one, otherwise the CPU.

    Raises:
        DeviceError: this machine has no such device.
    """
    import torch

    if world_size() > 1 and torch.cuda.is_available() and name in ("auto", "cuda"):
        return _gpu_of_its_own()
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name!r} is not a device; write auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name} cannot evaluate in float64; write auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"--device {name} was requested, but torch finds no GPU on this machine; use --device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"--device {name} was requested, but GPUs are numbered up to {torch.cuda.device_count() - 1} here; use --device cuda:0"
        )
    if world_size() > 1 and device.type == "cuda":
        raise DeviceError(f"--device {name} is one GPU for {world_size()} processes; write --device cuda to give each its own")
    return device


def _gpu_of_its_own() -> torch.device:
    """The GPU for this process of a job.

    Raises:
        DeviceError: there are more processes than GPUs, or torch lacks NCCL.
    """
    import torch
    from torch import distributed

    if local_rank() >= torch.cuda.device_count():
        raise DeviceError(
            f"this machine has fewer GPUs ({torch.cuda.device_count()}) than processes; start one process for each GPU "
            f"(--nproc-per-node {torch.cuda.device_count()}), or write --device cpu"
        )
    if not distributed.is_nccl_available():
        raise DeviceError("this torch lacks NCCL, which GPUs exchange gradients with; install another build, or use --device cpu")
    torch.cuda.set_device(local_rank())
    return torch.device("cuda", local_rank())
