"""From an address, a tensor or an array to an open source: dispatch only."""

from pathlib import Path
from typing import Any

from wdist.data.access import Access
from wdist.data.sources.address import Address, parse_address, suggestion
from wdist.data.sources.arrays import FORMATS, open_array
from wdist.data.sources.in_memory import open_values
from wdist.data.sources.pairs import open_synthetic
from wdist.data.sources.selection import select
from wdist.data.sources.source import EndlessSource, FiniteSource, Source
from wdist.data.sources.tensor_files import is_torchscript
from wdist.errors import SourceError

MODEL_SUFFIXES = (".ts", ".pt2", ".onnx")
"""Files that hold a network's program beside its weights."""


def open_source(address: Any, access: Access = Access(), *, seed: int = 0) -> Source:
    """Opens an address (text or path), a tensor, an array, or hands back a source that is open already.

    Nothing is read but what tells shape, type and number; a full pass is the business of :func:`wdist.data.survey.survey`.

    Raises:
        SourceError: there is nothing, or nothing to compute a distance from; TrustRequired: opening it would run code.
    """
    if isinstance(address, FiniteSource | EndlessSource):
        return address
    if not isinstance(address, str | Path):
        return open_values(address)
    return _open(parse_address(address), access, seed)


def _open(address: Address, access: Access, seed: int) -> Source:
    if address.scheme == "synthetic":
        return open_synthetic(address)
    if address.scheme == "torchvision":
        from wdist.data.sources.torchvision_dataset import open_torchvision

        return select(open_torchvision(address, access), address, seed)
    check_there(address)
    if address.path.is_dir():
        from wdist.data.sources.image_folder import open_image_folder

        return select(open_image_folder(address, access), address, seed)
    if holds_model(address):
        from wdist.data.sources.generator import open_generator

        return open_generator(address, access)
    if address.suffix in FORMATS:
        return select(open_array(address, access), address, seed)
    way_out = suggestion(address.suffix, _suffixes(), "known are")
    raise SourceError(f"{address.location} has a suffix that says nothing of its format; {way_out}")


def holds_model(address: Address) -> bool:
    """Whether the address means a generator: its suffix, its options or its content say so."""
    if address.suffix in MODEL_SUFFIXES or "factory" in address.options:
        return True
    return address.suffix in (".pt", ".pth") and is_torchscript(address.path)


def check_there(address: Address) -> None:
    """Refuses a file that is missing, not readable or empty.

    Raises:
        SourceError: says which.
    """
    path = address.path
    try:
        if path.is_symlink() and not path.exists():
            raise SourceError(f"{address.location} is a link to {path.readlink()}, which does not exist; mend the link")
        if not path.exists():
            raise SourceError(f"{address.location} does not exist; {_hint(address)}")
        if path.is_dir():
            next(path.iterdir(), None)
            return
        if not path.is_file():  # a pipe would be read once and wait for ever
            raise SourceError(f"{address.location} is no regular file; write its content to one first")
        with path.open("rb") as file:
            if not file.read(1):
                raise SourceError(f"{address.location} is empty (0 bytes); copy it again from where it came")
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SourceError(f"{address.location} cannot be read ({reason}); mend its rights or name another file") from error


def _hint(address: Address) -> str:
    word, colon, _ = address.location.partition(":")
    schemes = ("torchvision", "synthetic")
    if colon and (near := suggestion(word, schemes, "")).startswith("did"):
        return near.replace("'?", ":...'?")
    if "://" in address.location:
        return "only files on this machine are read, so fetch it first"
    parent = address.path.parent
    names = [path.name for path in parent.iterdir()] if parent.is_dir() else []
    near = suggestion(address.path.name, names, "")
    return near if near.startswith("did") else "name a file, a folder, torchvision:NAME or synthetic:NAME"


def _suffixes() -> tuple[str, ...]:
    return (*FORMATS, *MODEL_SUFFIXES)
