"""Surveys of large files, kept between runs so that a file that has not changed is not read again for its digest.

Each is a small JSON file in ``$XDG_CACHE_HOME/wdist/surveys``, by default in ``~/.cache``. The cache never stands in the way:
without a folder that can be written to, files are surveyed each time.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from wdist.data.sources.source import FiniteSource
from wdist.environment import package_version
from wdist.errors import OutputError
from wdist.files import atomic_write

_LEAST_BYTES = 1 << 26
"""Surveys of smaller sources take less than a moment."""
_MOST_NONFINITE = 10_000
"""Rows with NaN or infinity of a survey that is kept."""


def key_of(source: FiniteSource) -> str | None:
    """Everything that a survey depends on, as text: this version of wdist, the address with its options, and what was opened.

    The latter are the path, device, inode, size and times of modification and of change of each file. None if one of them has
    changed since it was opened or within the last two seconds, when a further change could leave the same times; or if there is
    no file.
    """
    if source.nbytes < _LEAST_BYTES or source.stored is not source or (identity := source.identity()) is None:
        return None
    info = source.info
    described = (info.address, info.count, info.event_shape, info.dtype, info.scale, info.offset, info.notes)
    return f"{package_version()} {described} {identity}"


def recall(key: str) -> dict[str, Any] | None:
    """The fields of a survey that was kept under this very key; None without one, or if its file is damaged."""
    try:
        kept = json.loads(_file(key).read_text("utf-8"))
        found = kept["survey"] if kept["key"] == key else None
        return None if found is None else {**found, "nonfinite": np.array(found["nonfinite"], dtype=np.int64)}
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):
        return None


def keep(key: str, values: Mapping[str, Any]) -> None:
    """Keeps the fields of a survey, if the folder allows it."""
    if len(values["nonfinite"]) > _MOST_NONFINITE:
        return
    text = json.dumps({"key": key, "survey": {**values, "nonfinite": values["nonfinite"].tolist()}})
    with contextlib.suppress(OSError, OutputError, RuntimeError):
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, text.encode())


def _file(key: str) -> Path:
    """RuntimeError without a home folder."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    return folder / "wdist" / "surveys" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
