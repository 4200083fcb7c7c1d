"""Files: inputs must not change while they are read; outputs are checked in advance and written whole or not at all."""

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
"""Coarsest resolution of file-system timestamps."""
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_HELD = {errno.EACCES, errno.EAGAIN}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP}
"""Errors of a file system without locks; there, no file counts as abandoned."""
_TEMPORARY = (".wdist-", ".part")
"""Prefix and suffix of files being written; one that is not locked was left by a process that was killed."""
_LOCK_NAME = ".wdist-lock"


@dataclass(frozen=True, kw_only=True)
class FileVersion:
    """A file at one moment, distinguished from later versions by its identity, size and modification time."""

    path: Path
    name: str
    """Name in messages."""
    mark: int

    @classmethod
    def of(cls, path: Path, name: str | None = None) -> FileVersion:
        """The current version of a file."""
        return cls(path=path, name=name or str(path), mark=_mark(path))

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Context for reading some or all of the file; SourceError if it has changed before or changes meanwhile."""
        self.check()  # first, because reading past the new end of a mapped file would end the process
        try:
            yield
        except Exception:
            self.check()
            raise
        self.check()

    def identity(self) -> str | None:
        """The file and its version as text; None if it has changed, or so recently that another change might keep the times."""
        try:
            found = self.path.stat()
        except OSError:
            return None
        # The change time as well, because the modification time can be set back.
        if _mark(self.path) != self.mark or time.time() - max(found.st_mtime, found.st_ctime) < _RACY_SECONDS:
            return None
        return f"{self.path.resolve()} {found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns} {found.st_ctime_ns}"

    def check(self) -> None:
        """SourceError if the file has changed."""
        if _mark(self.path) != self.mark:
            raise SourceError(f"{self.name} changed while it was read; start again when nothing writes to it")


def _mark(path: Path) -> int:
    """Number that identifies the version of a file; 0 if there is no file."""
    try:
        found = path.stat()
    except OSError:
        return 0
    return hash((found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns))


def identity_of(versions: Iterable[FileVersion]) -> str | None:
    """A digest of all files and their versions; None if one of them has no identity."""
    digest = hashlib.sha256()
    for version in versions:
        if (found := version.identity()) is None:
            return None
        digest.update(f"{found}\n".encode())
    return digest.hexdigest()


_watched: dict[tuple[int, int], bool] = {}
"""Device and inode of each watched file, and whether this process has opened it for reading."""


def watch_for_reading(paths: Collection[Path]) -> None:
    """Lets :func:`was_read` tell from now on whether any Python code opens one of these files for reading."""
    _watched.clear()
    # A device such as /dev/null, which other code reads for reasons of its own, is not overwritten.
    _watched.update({_identity(path): False for path in paths if path.is_file()})
    if _watched:
        _listen()


def was_read(path: Path) -> bool:
    """Whether a watched file was opened for reading, or is imported code."""
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
        SafetensorError, OSError: the file cannot be read.
    """
    from safetensors import safe_open  # imported late, because it imports torch

    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()} if whole else {}  # noqa: SIM118 (not a dict)
        return file.metadata() or {}, tensors


def check_writable(path: Path, *, option: str, suffixes: Collection[str] = ()) -> None:
    """Checks that a file can be written, before anything is computed for it.

    Arguments:
        path: of the file; an existing file will be replaced.
        option: that named the file, for the message, for example ``--plot``.
        suffixes: supported suffixes with their dots; empty if any suffix is supported.

    Raises:
        OutputError: the directory is missing or not writable, the path is a directory or read-only, or its suffix is not supported.
    """
    if str(path) == "-":
        raise OutputError(f"{option} - would create a file of that name; name another file (--json prints the document)")
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
        # Only an attempt can tell: permission bits do not reflect read-only mounts, quotas and access lists.
        with _temporary(directory):
            pass
    except OSError as error:
        raise OutputError(
            f"{option} {path}: the directory {directory} cannot be written to ({_reason(error)}); name another file"
        ) from error


def atomic_write(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all, via a new file in the same directory that is flushed to disk and then renamed.

    The target of a symbolic link is replaced, not the link; devices and pipes are written to directly.

    Raises:
        OutputError: nothing was written; an existing file is unharmed.
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
    """A new file that gets its final name at the end of the context, or is removed if the context fails.

    Arguments:
        path: of the file; an existing regular file will be replaced.
        unless: called at the end if the file exists; True leaves that file in place, unharmed and with its timestamps.

    Raises:
        OutputError: the file cannot be written; an existing file is unharmed.
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
    """Creates a folder if it does not exist, and checks that files can be written into it.

    Raises:
        OutputError: the folder cannot be created or written to.
    """
    with _made(folder, option), _temporary(folder):
        pass


@contextlib.contextmanager
def _made(folder: Path, option: str) -> Iterator[None]:
    """Creates a folder if it does not exist; errors while writing into it become an OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        reason = _reason(error)
        raise OutputError(f"{option} {folder} cannot be created or written to ({reason}); name another folder") from error


@contextlib.contextmanager
def locked(folder: Path, *, option: str) -> Iterator[None]:
    """Reserves a folder for this process within the context; the system releases it even if the process is killed.

    Creates the folder if needed, and then removes it again if it stays empty.

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
    """A new file, removed in the end unless it was renamed; first removes files that killed processes left in the directory."""
    _remove_abandoned(directory)
    prefix, suffix = _TEMPORARY
    while True:
        with tempfile.NamedTemporaryFile(prefix=prefix, suffix=suffix, dir=directory, delete=False) as file:
            try:
                if not _held(file):
                    continue  # another process removed it as abandoned before it was locked
                yield file
            finally:
                Path(file.name).unlink(missing_ok=True)
            return


def _linked(name: str, target: Path) -> bool:
    """Gives a file a second name atomically; False if the name exists, or the file system does not support hard links."""
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
        # A file that cannot be removed does no harm. Opened neither for creation nor for reading, which is watched.
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
    """Locks a file, and tells whether this process holds the lock and the file still has its name."""
    try:
        if not _lock(file):
            return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return os.path.exists(file.name) and os.path.samestat(os.stat(file.name), os.fstat(file.fileno()))


def _lock(file: IO[bytes]) -> bool:
    """Locks a file until it is closed or the process ends in any way; False if another process has locked it."""
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
    """The error for an operating system error while writing a file."""
    if error.errno in _FULL:
        return OutputError(f"{path} was not written, because the disk is full; free some space or name a file on another disk")
    return OutputError(f"{path} was not written ({_reason(error)}); name another file")


def _is_special(path: Path) -> bool:
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def _mode(target: Path) -> int:
    """Permission bits of the file to be replaced, or else those of a new file."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
