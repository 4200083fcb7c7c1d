"""The device that training runs on."""

import torch

from wdist.errors import DeviceError


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
