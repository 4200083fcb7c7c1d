"""Where a result was computed."""

import platform

import torch

from wdist.errors import DeviceError
from wdist.estimation.result import Environment


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


# MERGED device: The device that training runs on.


def choose_device(name: str = "auto") -> torch.device:
    """The device of a name; ``auto`` is the GPU where there is one.

    Raises:
        DeviceError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise DeviceError(f"--device {name!r} is no device; write auto, cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"--device {name} cannot evaluate in float64; write auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise DeviceError(f"--device {name} was asked for, but this machine offers torch no GPU; use --device cpu or auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise DeviceError(
            f"--device {name} was asked for, but there are only {torch.cuda.device_count()} GPUs; use --device cuda:0"
        )
    return device


# MERGED version: Which wdist this is.


def package_version() -> str:
    """Of the installed package; ``unknown`` when it runs from a folder that was never installed."""
    # Imported here: it takes longer than everything else that `import wdist` does.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("wdist")
    except PackageNotFoundError:
        return "unknown"
