"""Permissions that the user grants for opening a source."""

from dataclasses import dataclass

from wdist.arguments import check_fields


@dataclass(frozen=True, kw_only=True)
class Access:
    """Permissions that the user grants for opening a source."""

    trust: bool = False
    """Allows running code that comes with a source (TorchScript, ``.pt2``, ONNX, a factory)."""
    download: bool = False
    """Allows torchvision to download a missing data set or missing weights."""
    drop_nonfinite: bool = False
    """Drops rows with NaN or infinity, which are an error otherwise."""

    def __post_init__(self) -> None:
        check_fields(self)
