"""Opens sources: dispatches an address, a tensor or an array to the function that reads it.

Every opener in this package raises :class:`SourceError`, with a way out, if there is nothing to read or the content is not samples.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from wdist.data.access import LEVEL, Access
from wdist.data.sources.address import Address, check_there, parse_address, suggestion
from wdist.data.sources.array_files import (
    is_torchscript,
    open_h5,
    open_npy,
    open_npz,
    open_safetensors,
    open_torch_file,
)
from wdist.data.sources.arrays import ArraySource, StoredArray, describe, open_values
from wdist.data.sources.columnar import FORMATS, is_parquet_folder, open_columnar
from wdist.data.sources.fetching import local, unpacked
from wdist.data.sources.frames import open_frame
from wdist.data.sources.pairs import open_synthetic
from wdist.data.sources.parts import holds_parts, joined, part_addresses
from wdist.data.sources.source import (
    SELECTION_OPTIONS,
    UNIT_OPTIONS,
    EndlessSource,
    FiniteSource,
    Source,
    Units,
    select,
    units_of,
)
from wdist.data.sources.tables import check_columns
from wdist.data.sources.text_tables import open_text_table
from wdist.errors import SourceError

ARRAY_FORMATS: dict[str, Callable[[Address], StoredArray]] = {
    ".h5": open_h5,
    ".hdf5": open_h5,
    ".npy": open_npy,
    ".npz": open_npz,
    ".csv": open_text_table,
    ".tsv": open_text_table,
    **dict.fromkeys(FORMATS, open_columnar),
    ".pt": open_torch_file,
    ".pth": open_torch_file,
    ".safetensors": open_safetensors,
}
"""Readers of array files by suffix."""
TABLE_OPTIONS = ("columns", "without", "names", "categories")
"""The options of an address that every reader of tables takes."""
TEXT_OPTIONS = ("header", "delimiter", "decimal", "thousands", "encoding")
"""Further options of the reader of text tables."""
_WAYS_OUT = {
    **dict.fromkeys((".xlsx", ".xls", ".ods"), "save the sheet as .csv"),
    **dict.fromkeys((".txt", ".dat", ".data"), "rename a table to .csv, or to .tsv if tabs separate its columns"),
    **dict.fromkeys((".json", ".jsonl", ".ndjson", ".sqlite", ".db", ".orc", ".avro"), "save the table as .csv or .parquet"),
    **dict.fromkeys((".mat", ".pkl", ".pickle", ".joblib", ".rds", ".nc", ".zarr"), "save the array as .npy or .h5"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"), "give the folder that holds the images"),
}
"""Advice for files of well-known formats that wdist does not read."""
MODEL_SUFFIXES = (".ts", ".pt2", ".onnx")
"""Suffixes of files that hold a network's program and its weights."""


def open_source(address: Any, access: Access = Access(), *, seed: int = 0, strict: bool = True) -> Source:
    """Opens an address (text or path), a tensor, an array, a frame or a dataset; an open source is returned as it is.

    Reads only what determines the shape, type and number of samples; raises TrustRequired if that would run code. With ``strict``
    false, a table may have columns without a distance.
    """
    if isinstance(address, FiniteSource | EndlessSource):
        return address
    if not isinstance(address, str | Path):
        if isinstance(address, Dataset):
            from wdist.data.sources.torch_dataset import open_dataset

            return open_dataset(address)
        if hasattr(type(address), "columns") or hasattr(address, "to_frame"):
            frame = open_frame(address, strict=strict)
            return open_values(address, Units()) if frame is None else frame  # bytes of a table are numbers, not pixels
        return open_values(address)
    return _open(parse_address(address), access, seed, strict=strict)


def _open(address: Address, access: Access, seed: int, *, strict: bool = True) -> Source:
    if address.scheme == "synthetic":
        return open_synthetic(address, lambda text: _open(parse_address(text), access, seed))
    address = local(address, access)
    if address.scheme == "file" and not address.is_pattern:
        check_there(address)
        if not address.path.is_dir() and holds_model(address):
            from wdist.data.sources.generator import open_generator

            return open_generator(address, access)
    return select(_open_finite(address, access, strict=strict), address, seed)


def _open_finite(address: Address, access: Access, *, strict: bool) -> FiniteSource:
    if address.scheme == "torchvision":
        from wdist.data.sources.torchvision_dataset import open_torchvision

        return open_torchvision(address, access)
    folder = not address.is_pattern and address.path.is_dir()
    if folder and is_parquet_folder(address):
        return _open_array(address, access, strict=strict)
    if address.is_pattern or (folder and holds_parts(address.path)):
        return joined([_open_part(part, access, strict=strict) for part in part_addresses(address)], address)
    if folder:
        from wdist.data.sources.images import open_image_folder

        return open_image_folder(address)
    if address.suffix == ".tar" or address.suffix in ARRAY_FORMATS:
        return _open_part(address, access, strict=strict)
    if address.suffix in _WAYS_OUT:
        raise SourceError(f"{address.location} is a {address.suffix} file, which wdist does not read; {_WAYS_OUT[address.suffix]}")
    if address.compression:
        raise SourceError(f"{address.location} is compressed, which only .csv and .tsv files may be; unpack it first")
    way_out = suggestion(address.suffix, (*ARRAY_FORMATS, ".tar", *MODEL_SUFFIXES), "known suffixes are")
    raise SourceError(f"{address.location} has an unknown suffix, so its format is unclear; {way_out}")


def _open_part(address: Address, access: Access, *, strict: bool) -> FiniteSource:
    check_there(address)
    if address.suffix == ".tar":
        from wdist.data.sources.tar_archives import open_tar

        source = open_tar(address)
        source.file = address
        return source
    return _open_array(address, access, strict=strict)


def _open_array(address: Address, access: Access, *, strict: bool) -> FiniteSource:
    read = open_columnar if address.path.is_dir() else ARRAY_FORMATS[address.suffix]
    own: dict[Any, tuple[str, ...]] = {open_text_table: TABLE_OPTIONS + TEXT_OPTIONS, open_columnar: TABLE_OPTIONS}
    address.only(*SELECTION_OPTIONS, *UNIT_OPTIONS, *own.get(read, ()))
    there = unpacked(address)
    # Whoever describes a table, or gives missing values a coordinate, needs their number.
    counting = {"cache": access.cache, "counted": access.missing == LEVEL or not strict} if read is open_columnar else {}
    array = read(there, **counting)
    if strict:
        check_columns(array.columns)
    units = units_of(array.dtype, address)
    described = describe(array.shape, array.dtype, address.text, "array", units, array.notes)
    source = ArraySource(array, replace(described, columns=array.columns))
    source.file = address
    return source


def holds_model(address: Address) -> bool:
    """True if the address means a generator, by its suffix, its options or its content."""
    if address.suffix in MODEL_SUFFIXES or "factory" in address.options:
        return True
    return address.suffix in (".pt", ".pth") and is_torchscript(address.path)
