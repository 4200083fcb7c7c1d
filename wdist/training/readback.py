"""Numbers copied from the device: requested early, read late, so that neither side waits for the other."""

import torch
from torch import Tensor


class Readback:
    """A scalar that is copied to the host while the device goes on.

    Reading waits for the device's work up to the copy, but for nothing queued since; on a CPU the number is there at once.

    Arguments:
        value: a scalar tensor.
    """

    def __init__(self, value: Tensor) -> None:
        self._copied: torch.cuda.Event | None = None
        value = value.detach()
        if value.device.type == "cuda":
            self._value = torch.empty((), dtype=value.dtype, pin_memory=True).copy_(value, non_blocking=True)
            self._copied = torch.cuda.Event()
            self._copied.record(torch.cuda.current_stream(value.device))
        else:
            self._value = value.clone()

    @property
    def arrived(self) -> bool:
        """Whether reading would not wait."""
        return self._copied is None or self._copied.query()

    def read(self) -> float:
        """Returns the number."""
        if self._copied is not None:
            self._copied.synchronize()
        return float(self._value)
