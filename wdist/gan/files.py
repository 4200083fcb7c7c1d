"""The folder of a training: checkpoints that ``wdist estimate`` reads, sheets of samples, and the state that resuming needs."""

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from wdist.errors import OutputError, SourceError, UsageError
from wdist.files import atomic_write, check_writable
from wdist.gan.player import Game
from wdist.gan.settings import GanSettings

FORMAT = "wdist-gan-1"
STATE, FINAL, EXPORTED, SHEET = "state.safetensors", "generator.safetensors", "generator.pt2", "samples.png"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What was noted of the generator at a checkpoint."""

    step: int
    lower: float | None
    """W1 between some of the images and as many of the generator's is certainly not below; None without a certificate."""


@dataclass(frozen=True, kw_only=True)
class SavedState:
    """What a state file holds."""

    settings: GanSettings
    digest: str
    """Of the images."""
    steps: int
    tensors: dict[str, Tensor]
    measured: tuple[Measured, ...]
    """At each checkpoint so far."""


def check_new(folder: Path) -> None:
    """Refuses the folder of another training.

    Raises:
        OutputError: it holds one already, or is none.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"-o {folder} is a file; name a folder")
    if (folder / STATE).exists():
        raise OutputError(f"-o {folder} holds a training already; go on with it by --resume, or name another folder")


def prepare(folder: Path) -> None:
    """Makes the folder where it is not there, before anything is computed for it.

    Raises:
        OutputError: it cannot be made, or not be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"-o {folder} cannot be made ({(error.strerror or str(error)).lower()}); name another folder") from error
    check_writable(folder / STATE, option="-o")


def address(path: Path, settings: GanSettings, event_shape: tuple[int, ...]) -> str:
    """The address of a checkpoint, for every command that reads a source."""
    shape = "x".join(map(str, event_shape))
    return f"{path}?factory=wdist.gan.generators:image_generator&shape={shape}&inputs={settings.latent}&width={settings.width}"


def save_generator(path: Path, generator: nn.Module) -> None:
    """Writes the weights of a generator in evaluation mode."""
    atomic_write(path, save({name: tensor.contiguous() for name, tensor in generator.state_dict().items()}))


def export_generator(path: Path, generator: nn.Module, latent: int) -> None:
    """Writes a generator as a program of ``torch.export`` that takes any number of latents."""
    batch = torch.export.Dim("batch", min=1, max=1 << 20)
    program = torch.export.export(generator, (torch.zeros(4, latent),), dynamic_shapes=({0: batch},))
    file = io.BytesIO()
    torch.export.save(program, file)
    atomic_write(path, file.getvalue())


def save_state(folder: Path, game: Game, digest: str, measured: tuple[Measured, ...]) -> None:
    """Writes all that the next step depends on."""
    told = {
        "settings": asdict(game.settings),
        "digest": digest,
        "steps": game.steps,
        "measured": [asdict(each) for each in measured],
    }
    atomic_write(folder / STATE, save(game.tensors(), metadata={"format": FORMAT, "training": json.dumps(told)}))


def load_state(folder: Path) -> SavedState:
    """Reads the state of a training.

    Raises:
        UsageError: there is none.
        SourceError: the file is damaged or of another kind.
    """
    path = folder / STATE
    if not path.is_file():
        raise UsageError(f"-o {folder} holds no {STATE}, so there is nothing to resume; leave out --resume, or name another folder")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if metadata.get("format") != FORMAT:
            raise ValueError("it is of another kind")
        told = json.loads(metadata["training"])
        return SavedState(
            settings=GanSettings(**told["settings"]),
            digest=str(told["digest"]),
            steps=int(told["steps"]),
            tensors=tensors,
            measured=tuple(Measured(**each) for each in told["measured"]),
        )
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, UsageError) as error:
        raise SourceError(f"{path} is no readable state of a training ({error}); start anew in another folder") from error
