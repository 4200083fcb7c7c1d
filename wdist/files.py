"""Files: inputs, which must not change while they are read, and outputs, checked beforehand and written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

from wdist.errors import OutputError, SourceError

if TYPE_CHECKING:
    from torch import Tensor

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
PROOF_SUFFIX = ".safetensors"

_RACY_SECONDS = 2.0
"""Longest tick of the clocks of file systems."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HELD = {errno.EACCES, errno.EAGAIN}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""A file system without locks; there, nothing is taken for abandoned."""
_TEMPORARY = (".wdist-", ".part")
"""Prefix and suffix of files that are being written; one that nobody has locked was left by a process that was killed."""
_LOCK_NAME = ".wdist-lock"


@dataclass(frozen=True, kw_only=True)
class FileVersion:
    """A file as it was at one moment, distinguished from later versions by its identity, size and time of modification."""

    path: Path
    name: str
    """Name in messages."""
    mark: int

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> FileVersion:
        """The present version of a file."""
        return cls(path=path, name=name or str(path), mark=_mark(path))

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Reads some or all of the file; SourceError if it has changed before or changes meanwhile."""
        self.check()  # first, because reading past the new end of a mapped file would end the process
        try:
            yield
        except Exception:
            self.check()
            raise
        self.check()

    def identity(self) -> str | None:
        """The file and its version as text; None if it has changed since, or so lately that another change may leave its times."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        # The time of change too: that of modification can be set back.
        if _mark(self.path) != self.mark or time.time() - max(found.st_mtime, found.st_ctime) < _RACY_SECONDS:
            return None
        return f"{self.path.resolve()} {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"

    def check(self) -> None:
        """SourceError if the file has changed."""
        if _mark(self.path) != self.mark:
            raise SourceError(f"{self.name} changed while it was read; start again when nothing writes to it")


def _mark(path: Path) -> int:
    """Zero if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return hash((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


def identity_of(versions: Iterable[FileVersion]) -> str | None:
    """A digest of all files and their versions; None if one of them has none."""
    digest = hashlib.sha256()
    for version in versions:
        if (found := version.identity()) is None:
            return None
        digest.update(f"{found}\n".encode())
    return digest.hexdigest()


_watched: dict[tuple[int, int], bool] = {}
"""Device and inode of each watched file, and whether this process has opened it for reading."""


def watch_for_reading(paths: Collection[Path]) -> None:
    """Lets :func:`was_read` tell from now on if one of these files is opened for reading by whatever Python code."""
    _watched.clear()
    # A device such as /dev/null, which other code reads for reasons of its own, is not overwritten.
    _watched.update({_identity(path): False for path in paths if path.is_file()})
    if _watched:
        _listen()


def was_read(path: Path) -> bool:
    """True if a watched file was opened for reading, or is code that was imported."""
    if not path.exists():
        return False
    code = (getattr(module, "__file__", None) for module in list(sys.modules.values()))
    same = (each for each in code if each and os.path.exists(each) and os.path.samefile(each, path))
    return _watched.get(_identity(path), False) or any(same)


@functools.cache
def _listen() -> None:
    sys.addaudithook(_note_opening)  # lasts as long as the process


def _note_opening(event: str, arguments: tuple[Any, ...]) -> None:
    if event != "open" or not _watched:
        return
    path, _, flags = arguments
    with contextlib.suppress(OSError, ValueError, TypeError):  # no such file, or no path
        if not flags & os.O_WRONLY and (opened := _identity(path)) in _watched:
            _watched[opened] = True


def _identity(path: Any) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def read_safetensors(path: Path, *, whole: bool = True) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Metadata and tensors of a ``.safetensors`` file; no tensors unless ``whole``.

    Raises:
        SafetensorError, OSError: it cannot be read.
    """
    from safetensors import safe_open  # imported late, because it imports torch

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()} if whole else {}  # noqa: SIM118 (not a dict)
        return file.metadata() or {}, tensors


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
        raise OutputError(f"{option} {path}: the name must end in {' or '.join(', '.join(suffixes).rsplit(', ', 1))}")
    if path.is_dir():
        example = path / f"result{next(iter(suffixes), '.json')}"
        raise OutputError(f"{option} {path} is a directory; name a file in it, such as {example}")
    directory = path.resolve().parent
    if not directory.is_dir():
        raise OutputError(f"{option} {path}: there is no directory {directory}; create it with mkdir -p, or name another file")
    if path.exists() and not os.access(path, os.W_OK):
        raise OutputError(f"{option} {path} is read-only; name another file, or make it writable")
    if _is_special(path):
        return
    try:
        # Only an attempt tells: permission bits know nothing of read-only mounts, quotas and access lists.
        with _temporary(directory):
            pass
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
    except OSError as error:
        raise _cannot_write(path, error) from error
    with written_whole(path) as file:
        file.write(content)


@contextlib.contextmanager
def written_whole(path: Path, *, unless: Callable[[], bool] | None = None) -> Iterator[IO[bytes]]:
    """A new file that takes the name of a regular file at the end of the context, or disappears if the context fails.

    Arguments:
        path: of the file; it may exist, and will then be replaced.
        unless: asked at the end if a file has this name; True leaves that file in place, unharmed and with its times.

    Raises:
        OutputError: it cannot be written; a file that stood there before is unharmed.
    """
    target = path.resolve()
    try:
        with _temporary(target.parent) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.chmod(file.name, _mode(target))
            if unless is None or not (_linked(file.name, target) or unless()):
                os.replace(file.name, target)
    except OSError as error:
        raise _cannot_write(path, error) from error


def check_folder(folder: Path, *, option: str) -> None:
    """Creates a folder if there is none, and makes sure that files can be written into it.

    Raises:
        OutputError: that is impossible.
    """
    with _made(folder, option), _temporary(folder):
        pass


@contextlib.contextmanager
def _made(folder: Path, option: str) -> Iterator[None]:
    """Creates a folder if there is none, and writes into it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = _reason(error)
        raise OutputError(f"{option} {folder} cannot be created or written to ({reason}); name another folder") from error


@contextlib.contextmanager
def locked(folder: Path, *, option: str) -> Iterator[None]:
    """Keeps a folder to this process while the context lasts; the system releases it even if the process is killed.

    Creates the folder, and removes it again if nothing was put into it.

    Raises:
        OutputError: another process holds the folder, or it cannot be created or written to.
    """
    created = [each for each in (folder, *folder.parents) if not each.exists()]
    with _made(folder, option):
        file = _locked_file(folder / _LOCK_NAME)
    if file is None:
        raise OutputError(f"{option} {folder} is in use by another wdist; wait for it to end, or name another folder")
    try:
        _remove_abandoned(folder)
        yield
    finally:
        (folder / _LOCK_NAME).unlink(missing_ok=True)
        file.close()
        with contextlib.suppress(OSError):  # something was put into it
            for each in created:
                each.rmdir()


@contextlib.contextmanager
def _temporary(directory: Path) -> Iterator[IO[bytes]]:
    """A new file, removed in the end unless it was renamed; first removes those that killed processes left in the directory."""
    _remove_abandoned(directory)
    prefix, suffix = _TEMPORARY
    while True:
        with tempfile.NamedTemporaryFile(prefix=prefix, suffix=suffix, dir=directory, delete=False) as file:
            try:
                if not _held(file):
                    continue  # taken for abandoned in the moment before it was locked
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)
            return


def _linked(name: str, target: Path) -> bool:
    """Gives a file a second name in one step; False if something has that name, or the file system knows no second names."""
    try:
        os.link(name, target)
    except OSError:
        return False
    return True


def _remove_abandoned(directory: Path) -> None:
    prefix, suffix = _TEMPORARY
    for path in directory.glob(f"{prefix}*{suffix}"):
        if path.is_symlink() or not path.is_file():
            continue
        # What cannot be removed, or is not ours, does no harm. Neither created nor opened for reading, which others watch.
        with contextlib.suppress(OSError), open(os.open(path, os.O_WRONLY), "wb") as file:
            if _lock(file):
                path.unlink()


def _locked_file(path: Path) -> IO[bytes] | None:
    """Creates and locks a file; None if another process has locked it."""
    while True:
        file = path.open("ab")
        if _held(file):
            return file
        file.close()
        if path.exists():
            return None


def _held(file: IO[bytes]) -> bool:
    """Locks a file, and tells if it is ours and still has its name."""
    try:
        if not _lock(file):
            return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return os.path.exists(file.name) and os.path.samestat(os.stat(file.name), os.fstat(file.fileno()))


def _lock(file: IO[bytes]) -> bool:
    """Locks a file until it is closed or the process ends, however it ends; False if another process has locked it."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _HELD:
            return False
        raise
    return True


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
