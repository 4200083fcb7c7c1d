"""Files that a result is written to: checked before the work begins, and either written whole or not at all."""

import errno
import os
import stat
import tempfile
from collections.abc import Collection
from pathlib import Path

from wdist.errors import OutputError

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
CRITIC_SUFFIXES = (".safetensors",)

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_writable(path: Path, *, option: str, suffixes: Collection[str] = ()) -> None:
    """Makes sure, before anything is computed for it, that a file can be written.

    Arguments:
        path: of the file; it may exist, and will then be replaced.
        option: that named it, for the message, for example ``--plot``.
        suffixes: those that are supported, each with its dot; empty if any is.

    Raises:
        OutputError: the directory is missing or closed to us, the path is a directory or read-only, or its suffix is not supported.
    """
    if str(path) == "-":
        raise OutputError(f"{option} - would make a file of that name; name another file (--json prints the document)")
    if suffixes and path.suffix.lower() not in suffixes:
        raise OutputError(f"{option} {path}: the name must end in {_alternatives(suffixes)}")
    if path.is_dir():
        raise OutputError(f"{option} {path} is a directory; name a file in it, such as {path / ('result' + _example(suffixes))}")
    directory = path.resolve().parent
    if not directory.is_dir():
        raise OutputError(f"{option} {path}: there is no directory {directory}; create it with mkdir -p, or name another file")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{option} {path} is read-only; name another file, or make it writable")
    if _is_special(path):
        return
    try:
        # Only an attempt tells: permission bits know nothing of read-only mounts, quotas and access lists.
        descriptor, probe = tempfile.mkstemp(prefix=".wdist-", dir=directory)
        os.close(descriptor)
        os.unlink(probe)
    except OSError as error:
        raise OutputError(
            f"{option} {path}: the directory {directory} cannot be written to ({_reason(error)}); name another"
        ) from error


def atomic_write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: into a new file beside it, flushed to the disk, which then takes its name.

    A symbolic link keeps pointing where it did; devices and pipes are written to directly.

    Raises:
        OutputError: nothing was written; a file that stood there before is unharmed.
    """
    target = path.resolve()
    try:
        if _is_special(target):
            target.write_bytes(content)
            return
        descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(name, _mode(target))
            os.replace(name, target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> OutputError:
    """The sentence for an error of the operating system while a file was written."""
    if error.errno in _FULL:
        return OutputError(f"{path} was not written, because the disk is full; free some space or name a file on another disk")
    return OutputError(f"{path} was not written ({_reason(error)}); name another file")


def _is_special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _mode(target: Path) -> int:
    """Permission bits of the file that is replaced, else those that a new file gets."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _alternatives(suffixes: Collection[str]) -> str:
    *others, last = suffixes
    return f"{', '.join(others)} or {last}" if others else last


def _example(suffixes: Collection[str]) -> str:
    return next(iter(suffixes), ".json")
