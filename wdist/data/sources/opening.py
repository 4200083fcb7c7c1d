"""Opens sources: dispatch from an address, a tensor or an array.

Every opener in this package raises :class:`SourceError` with a way out if there is nothing to read, or if it is not samples.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from wdist.data.access import Access
from wdist.data.sources.address import NAMED_SCHEMES, Address, near_miss, parse_address, suggestion
from wdist.data.sources.array_files import (
    is_torchscript,
    open_h5,
    open_npy,
    open_npz,
    open_safetensors,
    open_table,
    open_torch_file,
)
from wdist.data.sources.arrays import ArraySource, StoredArray, describe, open_values
from wdist.data.sources.pairs import open_synthetic
from wdist.data.sources.source import (
    SELECTION_OPTIONS,
    UNIT_OPTIONS,
    EndlessSource,
    FiniteSource,
    SelectedColumns,
    Source,
    select,
    units_of,
)
from wdist.errors import SourceError

ARRAY_FORMATS: dict[str, Callable[[Address], StoredArray]] = {
    ".h5": open_h5,
    ".hdf5": open_h5,
    ".npy": open_npy,
    ".npz": open_npz,
    ".csv": open_table,
    ".tsv": open_table,
    ".pt": open_torch_file,
    ".pth": open_torch_file,
    ".safetensors": open_safetensors,
}
"""Readers of array files by suffix."""
TABLE_OPTIONS = ("header", "columns", "names")
"""The options of an address that the reader of tables takes."""
MODEL_SUFFIXES = (".ts", ".pt2", ".onnx")
"""Suffixes of files that hold a network's program and its weights."""


def open_source(address: Any, access: Access = Access(), *, seed: int = 0) -> Source:
    """Opens an address (text or path), a tensor or an array; returns a source that is already open as it is.

    Reads only what determines shape, type and number of samples; TrustRequired if that would run code.
    """
    if isinstance(address, FiniteSource | EndlessSource):
        return address
    if not isinstance(address, str | Path):
        return open_values(address)
    return _open(parse_address(address), access, seed)


def _open(address: Address, access: Access, seed: int) -> Source:
    if address.scheme == "synthetic":
        return open_synthetic(address, lambda text: _open(parse_address(text), access, seed))
    if address.scheme == "torchvision":
        from wdist.data.sources.torchvision_dataset import open_torchvision

        return select(open_torchvision(address, access), address, seed)
    check_there(address)
    if address.path.is_dir():
        from wdist.data.sources.images import open_image_folder

        return select(open_image_folder(address), address, seed)
    if holds_model(address):
        from wdist.data.sources.generator import open_generator

        return open_generator(address, access)
    if address.suffix in ARRAY_FORMATS:
        return select(_open_array(address), address, seed)
    way_out = suggestion(address.suffix, (*ARRAY_FORMATS, *MODEL_SUFFIXES), "known suffixes are")
    raise SourceError(f"{address.location} has an unknown suffix, so its format is unclear; {way_out}")


def _open_array(address: Address) -> FiniteSource:
    read = ARRAY_FORMATS[address.suffix]
    address.only(*SELECTION_OPTIONS, *UNIT_OPTIONS, *(TABLE_OPTIONS if read is open_table else ()))
    array = read(address)
    units = units_of(array.dtype, address)
    described = describe(array.shape, array.dtype, address.text, "array", units, array.notes)
    return _with_columns(ArraySource(array, replace(described, columns=array.columns)), address)


def _with_columns(source: FiniteSource, address: Address) -> FiniteSource:
    """The columns that the options ``columns=x,y`` and ``names=no`` ask for; SourceError if there are none of these names."""
    if "names" in address.options and address.choice("names", ("yes", "no")) == "no":
        source.info = replace(source.info, columns=None)
    if "columns" not in address.options:
        return source
    known, wanted = source.info.columns, [name.strip() for name in address.options["columns"].split(",")]
    if known is None:
        raise SourceError(f"{address}: columns= chooses columns by their names, and these have none; leave it out")
    for name in wanted:
        if name not in known:
            raise SourceError(f"{address}: there is no column {name!r}; {suggestion(name, known, 'the columns are')}")
    if len(set(wanted)) < len(wanted):
        raise SourceError(f"{address}: columns={address.options['columns']} names a column twice; name each once")
    return SelectedColumns(source, wanted)


def holds_model(address: Address) -> bool:
    """True if the address means a generator, by its suffix, its options or its content."""
    if address.suffix in MODEL_SUFFIXES or "factory" in address.options:
        return True
    return address.suffix in (".pt", ".pth") and is_torchscript(address.path)


def check_there(address: Address) -> None:
    """Refuses a file that is missing, unreadable or empty."""
    path = address.path
    try:
        if path.is_symlink() and not path.exists():
            raise SourceError(f"{address.location} is a link to {path.readlink()}, which does not exist; fix the link")
        if not path.exists():
            raise SourceError(f"{address.location} does not exist; {_hint(address)}")
        if path.is_dir():
            next(path.iterdir(), None)
            return
        if not path.is_file():  # a pipe can be read only once, and might block forever
            raise SourceError(f"{address.location} is not a regular file; save its content to one first")
        with path.open("rb") as file:
            if not file.read(1):
                raise SourceError(f"{address.location} is empty (0 bytes); copy it again from its origin")
    except OSError as error:
        reason = error.strerror or str(error)
        raise SourceError(f"{address.location} cannot be read ({reason}); fix its permissions or name another file") from error


def _hint(address: Address) -> str:
    word, colon, _ = address.location.partition(":")
    if colon and (near := near_miss(word, NAMED_SCHEMES)):
        return near.replace("'?", ":...'?")
    if "://" in address.location:
        return "only local files can be read, so download it first"
    parent = address.path.parent
    names = [path.name for path in parent.iterdir()] if parent.is_dir() else []
    return near_miss(address.path.name, names) or "name a file, a folder, torchvision:NAME or synthetic:NAME"
