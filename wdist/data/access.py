"""Permissions for opening a source, and settings for reading tables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wdist.arguments import check_fields, shown
from wdist.errors import UsageError

REFUSE, DROP, LEVEL = "refuse", "drop", "level"
MISSING = (REFUSE, DROP, LEVEL)


@dataclass(frozen=True, kw_only=True)
class Access:
    """Permissions for opening a source, and settings for reading tables.

    Raises:
        UsageError: a field has the wrong type, or ``missing`` is an unknown word.
    """

    trust: bool = False
    """Allows running code that comes with a source (TorchScript, ``.pt2``, ONNX, a factory)."""
    download: bool = False
    """Allows torchvision to download a missing data set or missing weights, and remote files to be copied to this machine."""
    drop_nonfinite: bool = False
    """Drops rows with NaN or infinity, which are an error otherwise."""
    cache: bool = True
    """Recalls digest, range and levels of a large file unchanged since an earlier run (:mod:`wdist.data.survey_cache`)."""
    feature_cache: str | Path | None = None
    """Folder that keeps features of networks between runs (:mod:`wdist.data.features.cache`)."""
    missing: str = REFUSE
    """Handling of missing values: ``refuse`` them, ``drop`` their rows, or treat them as a ``level``, a value of their own."""
    scale: str | Mapping[str, float] = "none"
    """Unit of length of each column: ``none`` to keep its own, ``std``, ``iqr``, ``mad`` or ``range`` over training rows of A, the
    name of a file, or lengths by column."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not isinstance(self.scale, str | Mapping):
            raise UsageError(f"scale must be text or lengths by column, not {shown(self.scale)}")
        if self.missing not in MISSING:
            raise UsageError(f"--missing {self.missing} is unknown; choose one of {', '.join(MISSING)}")
