"""Surveys of large files and levels of tables, kept between runs so that an unchanged file need not be read again.

Each is a small JSON file in ``$XDG_CACHE_HOME/wdist/surveys``, by default in ``~/.cache``. The cache causes no errors: without a
writable folder, files are surveyed each time.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from wdist.environment import package_version
from wdist.errors import OutputError
from wdist.files import atomic_write

_LEAST_BYTES = 1 << 26
"""Smaller sources are surveyed in a moment, so their surveys are not kept."""


def key(described: Any, identity: str | None, nbytes: int) -> str | None:
    """Everything that a survey depends on, as text: this version of wdist, what was requested, and the files that were opened.

    ``identity`` holds the path, device, inode, size and times of modification and of change of each file. Returns None if
    ``identity`` is None (there is no file, or one has changed since it was opened or within the last two seconds, when a further
    change could leave the same times), or if the files take few ``nbytes``.
    """
    return None if nbytes < _LEAST_BYTES or identity is None else f"{package_version()} {described} {identity}"


def recall(key: str) -> dict[str, Any] | None:
    """The value kept under this key; None if there is none, or its file is damaged."""
    try:
        kept = json.loads(_file(key).read_text("utf-8"))
        return dict(kept["found"]) if kept["key"] == key else None
    except (OSError, ValueError, TypeError, KeyError, RuntimeError):
        return None


def keep(key: str, found: Mapping[str, Any]) -> None:
    """Keeps plain values, if the folder is writable."""
    with contextlib.suppress(OSError, OutputError, RuntimeError):
        file = _file(key)
        file.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(file, json.dumps({"key": key, "found": found}).encode())


def _file(key: str) -> Path:
    """The file for a key; RuntimeError if there is no home folder."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    folder = Path(named) if os.path.isabs(named) else Path.home() / ".cache"
    return folder / "wdist" / "surveys" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"
