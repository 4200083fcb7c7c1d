"""Checkpoints in a folder: finished parts are in numbered files, the part under way is in one file that is rewritten repeatedly."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor

from wdist.checkpoints.checkpoint import NONE, Checkpoint, Part, under_way
from wdist.checkpoints.manifest import FORMAT, MANIFEST, check_same_run, manifest_of, readable
from wdist.checkpoints.state import restored, state_of
from wdist.checkpoints.values import packed, unpacked
from wdist.distributed.processes import processes
from wdist.errors import OutputError, SourceError, UsageError
from wdist.files import atomic_write, locked, read_safetensors
from wdist.interruption import Terminated, deferred_interrupts

T = TypeVar("T")

_LIVE, _FINISHED = "live.safetensors", "parts-{:06d}.safetensors"
SECONDS = 60.0
"""Longest time between two saves."""
Key = tuple[int, ...]
"""Position of a part in the sequence; for a part within another one, appended to the position of that one."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    """One part in a file, whose tensors are read on demand."""

    name: str
    seconds: float
    """Time of the record on the clock of the run."""
    tree: Any
    path: Path
    count: int
    """Number of tensors."""
    prefix: str

    def value(self) -> Any:
        with readable(self.path), safe_open(self.path, framework="pt") as file:
            return unpacked(self.tree, [file.get_tensor(f"{self.prefix}/{number}") for number in range(self.count)])


@dataclass(frozen=True, kw_only=True)
class _Finished:
    """A part to be written to a file, with its own copy of the data."""

    name: str
    seconds: float
    tree: Any
    tensors: Sequence[Tensor]


class FolderCheckpoint(Checkpoint):
    """A checkpoint in a folder.

    Arguments:
        folder: contains the files.
        manifest: content of the first file, which identifies the run.
        resumed: whether the content of the folder is used.
        warn: called with a sentence if the state cannot be saved; the run continues.
    """

    active = True

    def __init__(self, folder: Path, manifest: dict[str, Any], *, resumed: bool, warn: Callable[[str], None]) -> None:
        self._folder, self.resumed, self._warn = folder, resumed, warn
        self._manifest = None if resumed else manifest
        self._origin = self._saved = time.perf_counter()
        self._scopes: list[int] = [0]
        self._pending: dict[Key, _Finished] = {}
        self._warned = False
        files = sorted(folder.glob("parts-*.safetensors"))
        self._number = 1 + max((int(path.stem.partition("-")[2]) for path in files), default=0)
        self._found: dict[Key, _Record] = {}
        for path in files:
            self._read(path, self._found)
        self._kept = {path: {key for key, each in self._found.items() if each.path == path} for path in files}
        self._live: dict[Key, _Record] = {}
        if (folder / _LIVE).exists():
            self._read(folder / _LIVE, self._live)

    def now(self) -> float:
        return time.perf_counter() - self._origin

    def part(self, name: str, moving: Sequence[Any] = (), *, shared: Sequence[Any] = ()) -> Part:
        part = _FolderPart(self, self._next(), name, moving, shared)
        part.restore_()
        return part

    def rows(self, name: str, work: Callable[[], Iterator[T]], *, complete: Callable[[], bool] = lambda: True) -> Iterator[T]:
        part = self.part(name)
        if part.result is not None:
            yield from part.result
            return
        done = []
        self._scopes.append(0)
        try:
            for row in work():
                done.append(row)
                yield row
        finally:
            self._scopes.pop()
        if complete():
            part.finish(tuple(done))

    def confirm(self, what: str, digests: Mapping[str, str]) -> None:
        part = self.part(what)
        if part.result is None:
            part.finish(dict(digests))
            return
        for side, digest in digests.items():
            if part.result.get(side) != digest:
                raise SourceError(
                    f"{side} holds other samples than those that the run in {self._folder} began with; give the same samples, or "
                    f"name another folder"
                )

    def save(self, *, empty: bool = False) -> None:
        """Saves all finished parts that are not in a file yet; a failure is reported once, and saving is retried later.

        Arguments:
            empty: whether to save a run without finished parts, too, so that it can be resumed.
        """
        self._saved = time.perf_counter()
        if not (self._pending or (empty and self._manifest is not None)):
            return
        path = self._folder / _FINISHED.format(self._number)
        if self._written(path, self._pending):
            self._kept[path] = set(self._pending)
            self._number += 1
            self._pending = {}
            for old in [old for old, keys in self._kept.items() if not keys]:
                old.unlink(missing_ok=True)
                del self._kept[old]

    def save_live(self, key: Key, part: _Finished) -> None:
        """Saves the state of the part under way, after all parts that were finished before it."""
        self.save()
        if not self._pending:
            self._written(self._folder / _LIVE, {key: part})

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.perf_counter() - self._saved >= SECONDS

    def found(self, key: Key, name: str) -> _Record | None:
        """Record of the part that an earlier run finished here under this name; if there is none, drops all later records."""
        record = self._found.get(key)
        there = record is not None and record.name == name
        # If one process does not have the part, all of them do it together.
        if all(processes().gathered("finished parts", there)) and record is not None:
            self._continue_at(record.seconds)
            return record
        self._found = {other: each for other, each in self._found.items() if other < key}
        return None

    def begun(self, key: Key, name: str) -> _Record | None:
        """Record of the part that an earlier run had begun here under this name."""
        record = self._live.pop(key, None)
        if record is None or record.name != name or processes().size > 1:  # processes may not have saved it after the same step
            return None
        self._continue_at(record.seconds)
        return record

    def finish(self, key: Key, part: _Finished) -> None:
        """Records a finished part, and drops the records of its own parts."""
        self._pending = {other: each for other, each in self._pending.items() if other[: len(key)] != key} | {key: part}
        self._kept = {path: {other for other in keys if other[: len(key)] != key} for path, keys in self._kept.items()}
        if self.due:
            self.save()

    def _next(self) -> Key:
        self._scopes[-1] += 1
        return tuple(self._scopes)

    def _continue_at(self, seconds: float) -> None:
        """Sets the clock forward to the time of the earlier run."""
        self._origin -= max(0.0, seconds - self.now())

    def _read(self, path: Path, records: dict[Key, _Record]) -> None:
        with readable(path):
            metadata, _ = read_safetensors(path, whole=False)
            if metadata.get("format") != FORMAT:
                raise ValueError("it has another format")
            for number, each in enumerate(json.loads(metadata["parts"])):
                key = tuple(map(int, each["key"]))
                for other in [other for other in records if other > key]:
                    del records[other]  # recorded earlier: by a run that took another path, or as parts of this part
                facts = {name: each[name] for name in ("name", "seconds", "tree", "count")}
                records[key] = _Record(**facts, path=path, prefix=str(number))

    def _written(self, path: Path, parts: Mapping[Key, _Finished]) -> bool:
        """Writes a file; returns False on failure, which leaves the previous file unharmed."""
        tensors: dict[str, Tensor] = {}
        listed = []
        for number, (key, part) in enumerate(parts.items()):
            tensors |= {f"{number}/{place}": tensor for place, tensor in enumerate(part.tensors)}
            facts = {"name": part.name, "seconds": part.seconds, "tree": part.tree, "count": len(part.tensors)}
            listed.append({"key": key, **facts})
        try:
            if self._manifest is not None:
                atomic_write(self._folder / MANIFEST, json.dumps(self._manifest, indent=1).encode())
                self._manifest = None
            atomic_write(path, save(tensors, metadata={"format": FORMAT, "parts": json.dumps(listed)}))
        except OutputError as error:
            if not self._warned:
                self._warn(f"the run continues, but its state was not saved: {error}")
            self._warned = True
            return False
        return True


class _FolderPart(Part):
    """A part of a run with a checkpoint."""

    def __init__(self, checkpoint: FolderCheckpoint, key: Key, name: str, moving: Sequence[Any], shared: Sequence[Any]) -> None:
        self._checkpoint, self._key, self._name, self._moving, self._shared = checkpoint, key, name, moving, shared
        self._whole = True

    def restore_(self) -> None:
        """Restores the result or the state that an earlier run saved for this part, if any."""
        record = self._checkpoint.found(self._key, self._name)
        if record is not None:
            value = record.value()
            with readable(record.path):
                restored(list(self._shared), value["shared"])
            self.result = value["result"]
        elif (record := self._checkpoint.begun(self._key, self._name)) is not None:
            with readable(record.path):
                restored(list(self._moving), record.value())

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        with deferred_interrupts():
            self._whole = False
            yield
            self._whole = True
            if self._checkpoint.due:
                self._save()

    def run(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except (KeyboardInterrupt, Terminated):
            if self._whole:
                self._save()
            raise

    def finish(self, result: Any) -> None:
        self._checkpoint.finish(self._key, self._recorded({"result": result, "shared": state_of(list(self._shared))}))

    def _save(self) -> None:
        self._checkpoint.save_live(self._key, self._recorded(state_of(list(self._moving))))

    def _recorded(self, value: Any) -> _Finished:
        tensors: list[Tensor] = []
        tree = packed(value, tensors)
        return _Finished(name=self._name, seconds=self._checkpoint.now(), tree=tree, tensors=tensors)


@contextlib.contextmanager
def kept(
    folder: Path | None,
    *,
    resume: bool = False,
    command: str,
    settings: Mapping[str, Any],
    warn: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Checkpoint]:
    """Keeps the state of the work within the context in a folder, or continues the work saved there.

    Arguments:
        folder: used by this run only; None for no checkpoint.
        resume: whether to continue an earlier run of the same command and settings.
        command: name of the command.
        settings: everything that the digits depend on besides the data, from :func:`~wdist.checkpoints.manifest.settings_of`.
        warn: called with a sentence if the state cannot be saved.

    Raises:
        UsageError: there is nothing to resume, or the run has another command, version or settings.
        OutputError: the folder cannot be written to, is in use, or holds an earlier run and ``resume`` is not given.
        SourceError: a file in it is damaged.
    """
    if folder is None:
        if resume:
            raise UsageError("--resume continues a run in a folder; name the folder with --checkpoint")
        yield NONE
        return
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--checkpoint {folder} is a file; name a folder")
    if resume and not (folder / MANIFEST).is_file():
        raise UsageError(f"--checkpoint {folder} holds no run to resume; leave out --resume, or name another folder")
    with locked(folder, option="--checkpoint"):
        manifest = manifest_of(command, settings)
        if resume:
            check_same_run(folder, manifest)
        elif (folder / MANIFEST).exists():
            raise OutputError(f"--checkpoint {folder} already holds a run; continue it with --resume, or name another folder")
        checkpoint = FolderCheckpoint(folder, manifest, resumed=resume, warn=warn)
        empty = True
        try:
            with under_way(checkpoint):
                yield checkpoint
        except Exception:
            empty = False
            raise
        finally:
            checkpoint.save(empty=empty)
