"""Rows kept in a temporary file instead of memory."""

import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np

from wdist.errors import SourceError


def free_disk() -> int:
    """Bytes that a temporary file may take: half of what is free."""
    return shutil.disk_usage(tempfile.gettempdir()).free // 2


class Spool:
    """Rows in an unnamed temporary file, which disappears with the object or the process.

    The file is read, not mapped, because pages of a mapped file count as memory of the process. Threads may read at the same time.

    Arguments:
        blocks: blocks of rows of one type; at least one.

    Raises:
        SourceError: the folder for temporary files cannot hold them.
    """

    def __init__(self, blocks: Iterable[np.ndarray]) -> None:
        with _folder_of_temporary_files():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed with this object
        weakref.finalize(self, self._file.close)
        self._turn = threading.Lock()
        count = 0
        for block in blocks:
            with _folder_of_temporary_files():
                self._file.write(np.ascontiguousarray(block).data)
            self.dtype, self.shape = block.dtype, (count := count + len(block), *block.shape[1:])
        with _folder_of_temporary_files():
            self._file.flush()

    def __getitem__(self, rows: slice) -> np.ndarray:
        """Some rows, in order."""
        start, stop, _ = rows.indices(self.shape[0])
        size = int(np.prod(self.shape[1:]))
        with self._turn:
            self._file.seek(start * size * self.dtype.itemsize)
            return np.fromfile(self._file, self.dtype, max(0, stop - start) * size).reshape(-1, *self.shape[1:])


@contextmanager
def _folder_of_temporary_files() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SourceError(
            f"temporary files cannot be written ({error.strerror or error}); free some space, or name another folder in TMPDIR"
        ) from error
