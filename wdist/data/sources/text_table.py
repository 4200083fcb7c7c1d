"""Text tables of numbers: ``.csv`` and ``.tsv``, with or without a header."""

import csv
import itertools
import tempfile
import warnings
from collections.abc import Iterator
from typing import TextIO

import numpy as np
from torch import Tensor

from wdist.data.memory import fits
from wdist.data.sources.address import Address
from wdist.data.sources.arrays import StoredArray, check_no_key, tensor_of
from wdist.errors import SourceError

_ROWS_AT_ONCE = 1 << 16
_BYTES_A_VALUE = 2
"""Fewest bytes of one value and its separator, which bounds the size of the parsed table."""


def open_table(address: Address) -> StoredArray:
    """All rows of a table as float64, shape (n, columns); parsed into a temporary file if they may not fit into memory."""
    check_no_key(address)
    name = address.location
    largest = address.path.stat().st_size // _BYTES_A_VALUE * 8
    try:
        with address.path.open(encoding="utf-8-sig", newline="") as file:
            delimiter, header = _layout(file, address)
            file.seek(0)
            while header and not file.readline().strip():
                pass
            blocks = _blocks(file, delimiter, name)
            rows = np.concatenate(list(blocks)) if fits(2 * largest) else _spooled(blocks)
    except UnicodeDecodeError as error:
        raise SourceError(f"{name} is not UTF-8 text; save it as a plain table of numbers") from error
    except (ValueError, OverflowError) as error:
        complaint = _complaint(address, delimiter, header) or f"{name} cannot be read ({error}); give rows of numbers"
        raise SourceError(complaint) from error

    def read_rows(start: int, stop: int) -> Tensor:
        return tensor_of(np.array(rows[start:stop]), name)

    return StoredArray(shape=rows.shape, dtype="float64", itemsize=8, read_rows=read_rows)


def _layout(file: TextIO, address: Address) -> tuple[str, bool]:
    """The delimiter, and True if the first line is a header."""
    first = next((line for line in file if line.strip()), "")
    if not first:
        raise SourceError(f"{address.location} holds no rows; give a table of numbers")
    delimiter = "\t" if address.suffix == ".tsv" else ";" if "," not in first and ";" in first else ","
    fields = next(csv.reader([first], delimiter=delimiter))
    # A first line with a number among words is a bad row, not a header.
    return delimiter, not any(_is_number(field) for field in fields)


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _block(file: TextIO, delimiter: str) -> np.ndarray:
    """The next rows, shape (at most :data:`_ROWS_AT_ONCE`, columns)."""
    lines = list(itertools.islice((line for line in file if line.strip()), _ROWS_AT_ONCE))
    if not lines:
        return np.empty((0, 0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return np.loadtxt(lines, delimiter=delimiter, ndmin=2, comments=None, quotechar='"', dtype=np.float64)


def _blocks(file: TextIO, delimiter: str, name: str) -> Iterator[np.ndarray]:
    columns = 0
    while len(block := _block(file, delimiter)):
        if columns and block.shape[1] != columns:
            raise ValueError("rows of different lengths")
        columns = block.shape[1]
        yield block
    if not columns:
        raise SourceError(f"{name} holds a header but no rows; give a table of numbers")


def _spooled(blocks: Iterator[np.ndarray]) -> np.ndarray:
    spool = tempfile.TemporaryFile()  # noqa: SIM115 - the mapping below keeps it open; it is unnamed and disappears with the process
    count, columns = 0, 0
    for block in blocks:
        count, columns = count + len(block), block.shape[1]
        spool.write(block.tobytes())
    spool.flush()
    mapped = np.memmap(spool, dtype=np.float64, mode="r", shape=(count, columns))
    spool.close()
    return mapped


def _complaint(address: Address, delimiter: str, header: bool) -> str | None:
    """A sentence on the first bad line."""
    columns: int | None = None
    with address.path.open(encoding="utf-8-sig", newline="") as file:
        filled = ((number, line) for number, line in enumerate(file, start=1) if line.strip())
        for number, line in itertools.islice(filled, int(header), None):
            fields = next(csv.reader([line], delimiter=delimiter))
            bad = next((field for field in fields if not _is_number(field)), None)
            if bad is not None:
                what = f"holds {bad.strip()!r} instead of a number" if bad.strip() else "has an empty cell"
                if delimiter == "," and ";" in line:
                    return f"{address.location} line {number} {what}; if it uses decimal commas, write 1.5 and not 1,5"
                return f"{address.location} line {number} {what}; give rows of numbers only"
            if columns is not None and len(fields) != columns:
                lengths = f"{len(fields)} columns, the first row {columns}"
                return f"{address.location} line {number} has {lengths}; make all rows the same length"
            columns = len(fields)
    return None
