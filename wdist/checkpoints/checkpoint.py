"""Checkpoints: what a long run has done so far, in a folder, from which it goes on after it was stopped or killed.

A run is a sequence of parts: trainings, transport problems, rows of a study. Finished parts leave their results; of the part under
way, its state is saved every minute and when a signal ends the run. A resumed run goes through the same sequence: what is finished
is read instead of done, the part under way goes on, and everything between the parts is done again. Results are weights, plans and
dual variables, never bounds: each bound is proved again, so that no file can make one wrong.

Code that can be resumed asks :func:`current` for its parts; without a checkpoint they are kept nowhere and cost nothing.
"""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from wdist.checkpoints.clock import clock
from wdist.checkpoints.state import restored, state_of
from wdist.checkpoints.values import packed, unpacked
from wdist.distributed.processes import processes
from wdist.environment import package_version
from wdist.errors import OutputError, SourceError, UsageError
from wdist.files import atomic_write, locked
from wdist.interruption import Terminated, deferred_interrupts

T = TypeVar("T")

FORMAT = "wdist-checkpoint-1"
MANIFEST, LIVE = "checkpoint.json", "live.safetensors"
_FINISHED = "parts-{:06d}.safetensors"
SECONDS = 60.0
"""Longest time between two saves."""
Key = tuple[int, ...]
"""Position of a part in the sequence; within a part that has parts, behind its own."""


@dataclass(frozen=True, kw_only=True)
class _Record:
    """One part in a file, whose tensors are read when they are asked for."""

    name: str
    seconds: float
    """On the clock of the run, when this was recorded."""
    tree: Any
    path: Path
    count: int
    """Number of tensors."""
    prefix: str

    def value(self) -> Any:
        with _explained(self.path), safe_open(self.path, framework="pt") as file:
            return unpacked(self.tree, [file.get_tensor(f"{self.prefix}/{number}") for number in range(self.count)])


@dataclass(frozen=True, kw_only=True)
class _Finished:
    """A part as it will be written to a file, in memory of its own."""

    name: str
    seconds: float
    tree: Any
    tensors: Sequence[Tensor]


class Part:
    """One part of a run that is kept nowhere."""

    result: Any = None
    """What :meth:`finish` was given in an earlier run; None if it was not finished."""

    def step(self) -> AbstractContextManager[None]:
        """Surrounds a step that must be done as a whole; between steps, the state may be saved."""
        return nullcontext()

    def run(self, work: Callable[[], T]) -> T:
        """Does the work, in steps, from the restored state on; saves the state if a signal ends it."""
        return work()

    def finish(self, result: Any) -> None:
        """Keeps the result, not None, which a resumed run reads instead of doing the work."""


class Checkpoint:
    """No checkpoint: the twin of :class:`FolderCheckpoint` that keeps nothing."""

    active = False
    """Whether anything is kept."""
    resumed = False
    """Whether this run goes on with an earlier one."""

    def part(self, name: str, moving: Sequence[Any] = (), *, shared: Sequence[Any] = ()) -> Part:
        """The next part; restores what an earlier run left of it.

        Arguments:
            name: what it is; if another part stood here in the earlier run, nothing of that is used.
            moving: objects that change in the course of the part, as :func:`~wdist.checkpoints.state.state_of` describes them.
            shared: those of them that later parts go on with, such as the streams that samples are drawn from.
        """
        return Part()

    def rows(self, name: str, work: Callable[[], Iterator[T]], *, complete: Callable[[], bool] = lambda: True) -> Iterator[T]:
        """Rows of values that are measured together: those of an earlier run, or else those of ``work``.

        They are kept at the end of ``work`` if they are ``complete`` then; what it does may have parts itself.
        """
        return work()

    def confirm(self, what: str, digests: Mapping[str, str]) -> None:
        """Makes sure that a resumed run has the same data.

        Raises:
            SourceError: a digest is another than in the earlier run.
        """


_NONE = Checkpoint()
_current: ContextVar[Checkpoint] = ContextVar("checkpoint", default=_NONE)


def current() -> Checkpoint:
    """The checkpoint of the run that is under way."""
    return _current.get()


class FolderCheckpoint(Checkpoint):
    """A checkpoint in a folder.

    Arguments:
        folder: holds the files.
        manifest: says what run this is, for the first of them.
        resumed: whether what it holds is used.
        writes: whether this process writes into it; others only read.
        warn: is told a sentence if the state cannot be saved; the run goes on.
    """

    active = True

    def __init__(self, folder: Path, manifest: bytes, *, resumed: bool, writes: bool, warn: Callable[[str], None]) -> None:
        self._folder, self.resumed, self._writes, self._warn = folder, resumed, writes, warn
        self._manifest: bytes | None = None if resumed else manifest
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
        if (folder / LIVE).exists():
            self._read(folder / LIVE, self._live)

    def now(self) -> float:
        """Seconds that processes have worked on the run."""
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
                    f"{side} holds other samples than the run in {self._folder} began with; give those, or name another folder"
                )

    def save(self, *, empty: bool = False) -> None:
        """Saves all finished parts that are not in a file yet; a failure is told once, and tried again later.

        Arguments:
            empty: whether to make a run that has finished nothing one that can be resumed.
        """
        self._saved = time.perf_counter()
        if not self._writes or not (self._pending or (empty and self._manifest is not None)):
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
        """Saves the state of the part under way, behind all that was finished before it."""
        self.save()
        if self._writes and not self._pending:
            self._written(self._folder / LIVE, {key: part})

    @property
    def due(self) -> bool:
        """Whether it is time to save."""
        return time.perf_counter() - self._saved >= SECONDS

    def found(self, key: Key, name: str) -> _Record | None:
        """What an earlier run finished under a name at this place; forgets all that is behind anything else."""
        record = self._found.get(key)
        there = record is not None and record.name == name
        # Processes do together what not all of them have.
        if all(processes().gathered("finished parts", there)) and record is not None:
            self._continue_at(record.seconds)
            return record
        self._found = {other: each for other, each in self._found.items() if other < key}
        return None

    def begun(self, key: Key, name: str) -> _Record | None:
        """What an earlier run was doing under a name at this place."""
        record = self._live.pop(key, None)
        if record is None or record.name != name or processes().size > 1:  # they did not save it after the same step
            return None
        self._continue_at(record.seconds)
        return record

    def finish(self, key: Key, part: _Finished) -> None:
        """Records a finished part; what it consisted of need not be kept."""
        self._pending = {other: each for other, each in self._pending.items() if other[: len(key)] != key} | {key: part}
        self._kept = {path: {other for other in keys if other[: len(key)] != key} for path, keys in self._kept.items()}
        if self.due:
            self.save()

    def _next(self) -> Key:
        self._scopes[-1] += 1
        return tuple(self._scopes)

    def _continue_at(self, seconds: float) -> None:
        """Sets the clock forward to where the earlier run was."""
        self._origin -= max(0.0, seconds - self.now())

    def _read(self, path: Path, records: dict[Key, _Record]) -> None:
        with _explained(path):
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError("it has another format")
            for number, each in enumerate(json.loads(metadata["parts"])):
                key = tuple(map(int, each["key"]))
                for other in [other for other in records if other > key]:
                    del records[other]  # recorded before: by a run that went another way, or parts of this part
                facts = {name: each[name] for name in ("name", "seconds", "tree", "count")}
                records[key] = _Record(**facts, path=path, prefix=str(number))

    def _written(self, path: Path, parts: Mapping[Key, _Finished]) -> bool:
        """Whether a file could be written; the one that stood there before is unharmed otherwise."""
        tensors: dict[str, Tensor] = {}
        listed = []
        for number, (key, part) in enumerate(parts.items()):
            tensors |= {f"{number}/{place}": tensor for place, tensor in enumerate(part.tensors)}
            facts = {"name": part.name, "seconds": part.seconds, "tree": part.tree, "count": len(part.tensors)}
            listed.append({"key": key, **facts})
        try:
            if self._manifest is not None:
                atomic_write(self._folder / MANIFEST, self._manifest)
                self._manifest = None
            atomic_write(path, save(tensors, metadata={"format": FORMAT, "parts": json.dumps(listed)}))
        except OutputError as error:
            if not self._warned:
                self._warn(f"the run goes on, but its state was not saved: {error}")
            self._warned = True
            return False
        return True


class _FolderPart(Part):
    """A part of a run with a checkpoint."""

    def __init__(self, checkpoint: FolderCheckpoint, key: Key, name: str, moving: Sequence[Any], shared: Sequence[Any]) -> None:
        self._checkpoint, self._key, self._name, self._moving, self._shared = checkpoint, key, name, moving, shared
        self._whole = True

    def restore_(self) -> None:
        """Takes up what an earlier run left; what does not fit is not used."""
        record = self._checkpoint.found(self._key, self._name)
        if record is not None:
            value = record.value()
            with _explained(record.path):
                restored(list(self._shared), value["shared"])
            self.result = value["result"]
        elif (record := self._checkpoint.begun(self._key, self._name)) is not None:
            with _explained(record.path):
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
    writes: bool = True,
    warn: Callable[[str], None] = lambda sentence: None,
) -> Iterator[Checkpoint]:
    """Keeps the state of what is done within the context in a folder, or goes on with what that holds.

    Arguments:
        folder: of this run alone; None for no checkpoint.
        resume: whether it holds an earlier run of the same command and settings, which is continued.
        command: name of the command.
        settings: whatever the digits depend on besides the data, as :func:`settings_of` writes it.
        writes: whether this process writes; of several that work on one run, one does, and the others only read.
        warn: is told a sentence if the state cannot be saved.

    Raises:
        UsageError: there is nothing to resume, or it is a run of another command, version or settings.
        OutputError: the folder cannot be written to, is in use, or holds an earlier run that is not to be resumed.
        SourceError: a file of it is damaged.
    """
    if folder is None:
        if resume:
            raise UsageError("--resume goes on with a run in a folder; name the folder with --checkpoint")
        yield _NONE
        return
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"--checkpoint {folder} is a file; name a folder")
    if resume and not (folder / MANIFEST).is_file():
        raise UsageError(f"--checkpoint {folder} holds no run to resume; leave out --resume, or name another folder")
    with locked(folder, option="--checkpoint") if writes else nullcontext():
        manifest = {"format": FORMAT, "wdist": package_version(), "torch": torch.__version__, "command": command}
        if resume:
            _check(folder, manifest, settings)
        elif writes and (folder / MANIFEST).exists():
            raise OutputError(f"--checkpoint {folder} already holds a run; go on with --resume, or name another folder")
        content = json.dumps({**manifest, "settings": dict(settings)}, indent=1).encode()
        checkpoint = FolderCheckpoint(folder, content, resumed=resume, writes=writes, warn=warn)
        tokens = _current.set(checkpoint), clock.set(checkpoint.now)
        try:
            yield checkpoint
        except Exception:
            checkpoint.save()
            raise
        except BaseException:
            checkpoint.save(empty=True)
            raise
        else:
            checkpoint.save(empty=True)
        finally:
            _current.reset(tokens[0])
            clock.reset(tokens[1])


def _check(folder: Path, manifest: Mapping[str, str], settings: Mapping[str, Any]) -> None:
    """Makes sure that the run in a folder is the one that is resumed."""
    path = folder / MANIFEST
    with _explained(path):
        found = json.loads(path.read_text())
        then = found["settings"]
        versions = {name: str(found[name]) for name in ("wdist", "torch")}
        known = found["format"] == FORMAT
        command = str(found["command"])
    if command != manifest["command"]:
        raise UsageError(
            f"--checkpoint {folder} holds a run of wdist {command}, not of wdist {manifest['command']}; name another folder"
        )
    for name, version in versions.items():
        if not known or version != manifest[name]:
            raise UsageError(
                f"--checkpoint {folder} holds a run of {name} {version}, and this is {name} {manifest[name]}; "
                f"go on with that version, or start again in another folder"
            )
    now = json.loads(json.dumps(dict(settings)))
    for name in sorted({*then, *now}):
        if then.get(name) != now.get(name):
            was, this = (_shown(name, each.get(name)) for each in (then, now))
            raise UsageError(
                f"--checkpoint {folder} holds a run with {was}, and this is one with {this}; give the same, or another folder"
            )


def settings_of(options: Any, prefix: str = "") -> dict[str, Any]:
    """The fields of a dataclass, those of its own dataclasses among them, as texts and numbers by their names."""
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
    """A text that is the same in every process."""
    return value.__qualname__ if callable(value) and hasattr(value, "__qualname__") else str(value)


def _shown(name: str, value: Any) -> str:
    name = name.rpartition(".")[2].replace("_", " ")
    if value is None or value is False:
        return f"no {name}"
    return name if value is True else f"{name} {value}"


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        raise SourceError(f"{path} is not a readable part of a checkpoint ({error}); start again in another folder") from error
