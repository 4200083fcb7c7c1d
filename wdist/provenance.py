"""Where a result was computed."""

import platform

import torch

from wdist.result import Environment
from wdist.version import package_version


def environment(device: torch.device) -> Environment:
    """This machine and these versions."""
    return Environment(
        wdist=package_version(),
        python=platform.python_version(),
        torch=torch.__version__,
        platform=platform.platform(),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {platform.machine()}",
        threads=torch.get_num_threads(),
        precision=f"training float32{', products TF32' if device.type == 'cuda' else ''}; certificate and bounds float64",
    )
