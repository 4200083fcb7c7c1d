"""The first file of a checkpoint, which identifies its run."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from wdist.environment import package_version
from wdist.errors import SourceError, UsageError

FORMAT = "wdist-checkpoint-1"
MANIFEST = "checkpoint.json"
_VERSIONS = ("wdist", "torch", "format")


def manifest_of(command: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Content of the manifest file."""
    versions = {"wdist": package_version(), "torch": torch.__version__, "format": FORMAT}
    return {**versions, "command": command, "settings": dict(settings)}


def check_same_run(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Checks that the run in a folder is the one to resume.

    Raises:
        UsageError: the run has another command, version or settings.
        SourceError: the file is damaged.
    """
    with readable(folder / MANIFEST):
        found = json.loads((folder / MANIFEST).read_text())
        settings, versions, command = dict(found["settings"]), {name: str(found[name]) for name in _VERSIONS}, str(found["command"])
    if command != manifest["command"]:
        raise UsageError(
            f"--checkpoint {folder} holds a run of wdist {command}, not of wdist {manifest['command']}; name another folder"
        )
    for name, version in versions.items():
        if version != manifest[name]:
            raise UsageError(
                f"--checkpoint {folder} holds a run of {name} {version}, but this is {name} {manifest[name]}; "
                f"continue with that version, or start again in another folder"
            )
    given = json.loads(json.dumps(manifest["settings"]))
    for name in sorted({*settings, *given}):
        if settings.get(name) != given.get(name):
            was, this = (_shown(name, each.get(name)) for each in (settings, given))
            raise UsageError(
                f"--checkpoint {folder} holds a run with {was}, but this one has {this}; give the same, or name another folder"
            )


def settings_of(options: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of a dataclass and of dataclasses within it, as texts and numbers by name."""
    found: dict[str, Any] = {}
    for each in fields(options):
        value = getattr(options, each.name)
        if is_dataclass(value) and not isinstance(value, type):
            found |= settings_of(value, f"{prefix}{each.name}.")
        else:
            plain = value is None or isinstance(value, bool | int | float | str)
            found[f"{prefix}{each.name}"] = value if plain else _text(value)
    return found


def _text(value: Any) -> str:
    """A text for a value, the same in every process."""
    return value.__qualname__ if callable(value) and hasattr(value, "__qualname__") else str(value)


def _shown(name: str, value: Any) -> str:
    name = name.rpartition(".")[2].replace("_", " ")
    if value is None or value is False:
        return f"no {name}"
    return name if value is True else f"{name} {value}"


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Reads a file of a checkpoint; SourceError if it is damaged."""
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        raise SourceError(f"{path} is not a readable part of a checkpoint ({error}); start again in another folder") from error
