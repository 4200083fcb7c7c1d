"""Where a result was computed."""

import platform
from importlib.metadata import PackageNotFoundError, version

import torch

from wdist.result import Environment


def environment(device: torch.device) -> Environment:
    """This machine and these versions."""
    return Environment(
        wdist=package_version(),
        python=platform.python_version(),
        torch=torch.__version__,
        platform=platform.platform(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {platform.machine()}",
        threads=torch.get_num_threads(),
        precision="training float32; certificate and bounds float64",
    )


def package_version() -> str:
    """Of the installed package; ``unknown`` when it runs from a folder that was never installed."""
    try:
        return version("wdist")
    except PackageNotFoundError:
        return "unknown"
