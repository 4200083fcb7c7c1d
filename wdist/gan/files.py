"""Folder of a training run: checkpoints that ``wdist estimate`` reads, sheets of samples, and the state for resuming."""

import contextlib
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn

from wdist.data.inputs import reads
from wdist.errors import OutputError, SourceError, UsageError
from wdist.files import atomic_write, locked, read_safetensors
from wdist.gan.game import Game
from wdist.gan.settings import GanSettings

FORMAT = "wdist-gan-1"
STATE, FINAL, EXPORTED, SHEET = "state.safetensors", "generator.safetensors", "generator.pt2", "samples.png"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Measurement of the generator at a checkpoint."""

    step: int
    lower: float | None
    """Certain lower bound for W1 between ``compared`` images and as many generated ones; None without a certificate."""


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """Content of a state file."""

    settings: GanSettings
    digest: str
    """Digest of the images."""
    steps: int
    """Steps taken."""
    goal: int | None
    """Step at which the training was to end; None if a time budget ended it, and in states of earlier versions."""
    tensors: dict[str, Tensor]
    measured: tuple[Measured, ...]
    """One measurement for each checkpoint so far."""


@contextlib.contextmanager
def claimed(folder: Path, *, resume: bool) -> Iterator[SavedState | None]:
    """Reserves a folder for one training, new or resumed, and yields the state of the latter.

    Raises:
        UsageError: there is no state to resume.
        SourceError: the state is damaged or of another kind.
        OutputError: a new training would overwrite another, another process trains in the folder, or it cannot be written to.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"-o {folder} is a file; name a folder")
    if resume and not (folder / STATE).is_file():
        raise UsageError(f"-o {folder} holds no {STATE}, so there is nothing to resume; leave out --resume, or name another folder")
    with locked(folder, option="-o"):
        if not resume and (folder / STATE).exists():
            raise OutputError(f"-o {folder} already holds a training; continue it with --resume, or name another folder")
        yield load_state(folder) if resume else None


def check_apart(folder: Path, data: str) -> None:
    """Raises OutputError if a file of the training would replace an input, or become one of the images."""
    for name in (STATE, FINAL, EXPORTED, SHEET):
        if reads(data, folder / name):
            raise OutputError(f"-o {folder} would put {name} among the inputs; name a folder outside of {data}")


def address(path: Path, settings: GanSettings, event_shape: tuple[int, ...]) -> str:
    """The address of a checkpoint, which every command reads as a source."""
    shape = "x".join(map(str, event_shape))
    return f"{path}?factory=wdist.gan.generators:image_generator&shape={shape}&inputs={settings.latent}&width={settings.width}"


def save_checkpoint(folder: Path, step: int, generator: nn.Module, sheet: bytes) -> Path:
    """Writes weights and a sheet of samples, both with their number and as the latest; returns the path of the numbered weights.

    Removes the exported program of an earlier checkpoint, so that an existing program always belongs to the last checkpoint.
    """
    weights = save({name: tensor.contiguous() for name, tensor in generator.state_dict().items()})
    path = folder / f"generator-{step:06d}.safetensors"
    (folder / EXPORTED).unlink(missing_ok=True)
    atomic_write(path, weights)
    atomic_write(folder / f"samples-{step:06d}.png", sheet)
    atomic_write(folder / FINAL, weights)
    atomic_write(folder / SHEET, sheet)
    return path


def export_generator(path: Path, generator: nn.Module, latent: int) -> None:
    """Writes a generator as a ``torch.export`` program that takes any number of latents."""
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    file = io.BytesIO()
    torch.export.save(torch.export.export(generator, (torch.zeros(4, latent),), dynamic_shapes=({0: batch},)), file)
    atomic_write(path, file.getvalue())


def save_state(folder: Path, game: Game, digest: str, measured: tuple[Measured, ...], *, goal: int | None) -> None:
    """Writes everything that the next step depends on, and the step at which the training is to end."""
    done = [asdict(each) for each in measured]
    training = {"settings": asdict(game.settings), "digest": digest, "steps": game.steps, "goal": goal, "measured": done}
    atomic_write(folder / STATE, save(game.tensors(), metadata={"format": FORMAT, "training": json.dumps(training)}))


def load_state(folder: Path) -> SavedState:
    """Reads the state of a training; SourceError if the file is damaged or of another kind."""
    path = folder / STATE
    try:
        metadata, tensors = read_safetensors(path)
        if metadata.get("format") != FORMAT:
            raise ValueError("it has another format")
        training = json.loads(metadata["training"])
        return SavedState(
            settings=GanSettings(**training["settings"]),
            digest=str(training["digest"]),
            steps=int(training["steps"]),
            goal=None if training.get("goal") is None else int(training["goal"]),
            tensors=tensors,
            measured=tuple(Measured(**each) for each in training["measured"]),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise SourceError(f"{path} is not a readable training state ({error}); start again in another folder") from error
