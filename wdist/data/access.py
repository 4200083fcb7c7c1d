"""Permissions that the user grants for opening a source."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Access:
    """Permissions that the user grants for opening a source."""

    trust: bool = False
    """Code that comes with a source (TorchScript, ``.pt2``, ONNX, a factory) may run."""
    download: bool = False
    """torchvision may download a data set, or weights, that are missing."""
    drop_nonfinite: bool = False
    """Rows with NaN or infinity are left out instead of being an error."""
