"""Text tables, ``.csv`` and ``.tsv``: rows of numbers, booleans, dates and categories.

Numpy parses tables of numbers. Any other table is read twice: the first pass decides the type of each column, the second reads its
values.
"""

import csv
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import TextIO

import numpy as np

from wdist.data.sources.address import Address
from wdist.data.sources.arrays import EXACT_INTEGERS, StoredArray, check_no_key, too_large
from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, DAYS, EMPTY, NUMBER, TEXT, Column
from wdist.data.sources.tables import (
    MISSING,
    Coder,
    TableRows,
    categories,
    held,
    leave_out,
    stored_table,
)
from wdist.data.sources.text_layout import (
    DECIMAL_COMMA,
    GROUPED,
    SWAPPED,
    THOUSANDS,
    TextLayout,
    days_of,
    encoding_of,
    kind_of,
    layout_of,
    reader_of,
)
from wdist.errors import SourceError
from wdist.files import FileVersion

_ROWS_AT_ONCE = 1 << 16
_BYTES_A_VALUE = 2
"""Fewest bytes of one value with its separator, which bounds the size of the parsed table."""
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}( .*)?")


def open_text_table(address: Address) -> StoredArray:
    """All rows of a table as float64, shape (n, columns); parsed into a temporary file if they may not fit into memory."""
    check_no_key(address)
    name = address.location
    version = FileVersion.of(address.path, name)
    try:
        with version.reading(), address.path.open(encoding=encoding_of(address), newline="") as file:
            layout = layout_of(file, address)
            plain = "categories" not in address.options and not layout.thousands
            rows = _numbers(file, layout) if plain else None
            return _typed(file, layout) if rows is None else rows
    except UnicodeError as error:
        encoding = address.options.get("encoding", "UTF-8")
        way_out = f"name its encoding, such as {address.sign}encoding=cp1252 (Windows), or save it as UTF-8"
        raise SourceError(f"{name} is not {encoding} text; {way_out}") from error
    except csv.Error as error:
        raise SourceError(f"{name} cannot be read ({error}); give rows of numbers") from error


def _numbers(file: TextIO, layout: TextLayout) -> StoredArray | None:
    """A table whose cells are all numbers; None for any other."""
    missing: list[np.ndarray] = []
    width = 0

    def blocks() -> Iterator[np.ndarray]:
        nonlocal width
        lines = layout.lines(file)
        while len(block := _block(lines, layout)):
            if width and block.shape[1] != width:
                raise ValueError("rows of different lengths")
            width = block.shape[1]
            block = block if layout.chosen is None else block[:, layout.chosen]
            missing.append(np.isnan(block).sum(axis=0))
            yield block

    try:
        rows = _held(blocks(), layout)
    except UnicodeDecodeError:
        raise
    except (ValueError, OverflowError, IndexError):
        return None
    columns = layout.columns(width)
    counts = sum(missing, np.zeros(len(columns), dtype=np.int64))
    counted = tuple(
        replace(column, missing=int(count), type=EMPTY if count == rows.shape[0] else NUMBER)
        for column, count in zip(columns, counts, strict=True)
    )
    return stored_table(rows, None, counted, layout.address.location, layout.notes)


def _block(lines: Iterator[str], layout: TextLayout) -> np.ndarray:
    """The next rows, shape (at most :data:`_ROWS_AT_ONCE`, columns)."""
    block = list(itertools.islice(lines, _ROWS_AT_ONCE))
    if not block:
        return np.empty((0, 0))
    if layout.decimal == ",":
        block = [line.translate(SWAPPED) for line in block]
    delimiter = None if layout.delimiter == " " else layout.delimiter
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = np.loadtxt(block, delimiter=delimiter, ndmin=2, comments=None, quotechar='"', dtype=np.float64)
    large = np.flatnonzero((np.abs(rows) >= EXACT_INTEGERS).any(axis=1))
    for fields in reader_of([block[row] for row in large], layout.delimiter):
        for column, text in zip(layout.columns(len(fields)), layout.picked(fields), strict=True):
            _check_exact([text], column, layout.address.location)
    return rows


def _held(blocks: Iterator[np.ndarray], layout: TextLayout) -> TableRows:
    first = next(blocks, None)
    if first is None:
        raise SourceError(f"{layout.address.location} holds a header but no rows; give a table of numbers")
    return held(itertools.chain([first], blocks), layout.address.path.stat().st_size // _BYTES_A_VALUE * 8)


def _check_exact(texts: Sequence[str], column: Column, name: str) -> None:
    """Refuses whole numbers, written without an exponent, that float64 would round to other integers."""
    for each in map(str.strip, texts):
        if not re.fullmatch(r"[+-]?\d+(\.\d*)?", each) or abs(value := float(each)) < EXACT_INTEGERS:
            continue
        if "." not in each or Fraction(each.rstrip(".")) != Fraction(value):
            raise too_large(f"{name}, column {column.name!r}", each, first=leave_out(column.name))


def _typed(file: TextIO, layout: TextLayout) -> StoredArray:
    """A table whose columns have different types."""
    address = layout.address
    kinds, width = _kinds(file, layout)
    plain = layout.columns(width)
    forced = categories(address, [column.name for column in plain])
    columns = []
    for k, (column, found) in enumerate(zip(plain, kinds, strict=True)):
        kind, wrong, way_out = (CATEGORY, "", "") if k in forced else _decided(found, column.name, layout)
        problem = f"{_contradiction(file, layout, k, kind)} {wrong}; {way_out}" if wrong else ""
        columns.append(replace(column, type=TEXT if wrong else kind, unit=DAYS if kind == DATE else "", problem=problem))
    coder = Coder(columns)

    def blocks() -> Iterator[np.ndarray]:
        rows = (row for _, row in layout.rows(file))
        while block := list(itertools.islice(rows, _ROWS_AT_ONCE)):
            fields = zip(*map(layout.picked, block), strict=True)
            yield coder.block([_values(texts, column, layout) for texts, column in zip(fields, columns, strict=True)])

    rows = _held(blocks(), layout)
    return stored_table(rows, coder, coder.columns(address.location), address.location, layout.notes)


def _kinds(file: TextIO, layout: TextLayout) -> tuple[list[Counter[str]], int]:
    """Counts the cells of each wanted column by kind, missing ones aside, and returns the number of all columns as well.

    Raises:
        SourceError: rows have different lengths.
    """
    kinds: list[Counter[str]] = []
    width, rows = 0, layout.rows(file)
    while block := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        width = width or len(block[0][1])
        wrong = next(((line, row) for line, row in block if len(row) != width), None)
        if wrong is not None:
            lengths = f"{len(wrong[1])} column{'s' if len(wrong[1]) > 1 else ''}, but the first row has {width}"
            raise SourceError(f"{layout.address.location} line {wrong[0]} has {lengths}; make all rows the same length")
        kinds = kinds or [Counter() for _ in layout.picked(block[0][1])]
        for counts, texts in zip(kinds, zip(*(layout.picked(row) for _, row in block), strict=True), strict=True):
            for text, count in Counter(texts).items():
                if text in MISSING:
                    continue
                counts[kind := kind_of(layout.written(text))] += count
                if kind == CATEGORY:
                    grouped = GROUPED.fullmatch(text)
                    comma = DECIMAL_COMMA.fullmatch(text) if grouped is None else "," in text and grouped["mark"] != ","
                    counts[_COMMAS] += count * bool(comma)
                    counts[_BOTH] += count * ("." in text)
                    counts[_GROUPS[grouped["mark"]] if grouped else _COMMAS_ALONE] += count * bool(grouped or comma)
                    counts[_DATES] += count * bool(_OTHER_DATE.fullmatch(text))
    if not width:
        raise SourceError(f"{layout.address.location} holds a header but no rows; give a table of numbers")
    return kinds, width


_COMMAS, _COMMAS_ALONE, _BOTH = "decimal commas", "decimal commas without groups", "a point besides"
_DATES = "dates in another order"
_GROUPED_BY = {word: f"digits grouped by {word}" for word in THOUSANDS}
_GROUPS = {mark: _GROUPED_BY[word] for word, marks in THOUSANDS.items() for mark in marks}


def _decided(counts: Counter[str], name: str, layout: TextLayout) -> tuple[str, str, str]:
    """The type of a column, what is wrong with cells of other types, and the way out; both empty if nothing is wrong."""
    kinds = {kind: counts[kind] for kind in (NUMBER, BOOLEAN, DATE, CATEGORY) if counts[kind]}
    most = max(kinds, key=lambda kind: kinds[kind], default=NUMBER)
    marked, marks = _marked(counts, layout)
    if kinds.keys() <= {NUMBER, CATEGORY} and 2 * marked > counts[CATEGORY]:
        return NUMBER, f"in the column {name!r}", marks
    if len(kinds) <= 1:
        if most == CATEGORY and 2 * counts[_DATES] > counts[CATEGORY]:
            return DATE, f"in the column {name!r}", f"write dates as 2024-12-31, or {leave_out(name)}"
        return most, "", ""
    if most == CATEGORY or 2 * kinds[most] < sum(kinds.values()):
        return CATEGORY, "", ""
    return (
        most,
        f"instead of a {most} in the column {name!r}",
        f"correct it (a missing value is an empty cell), or {leave_out(name)}",
    )


def _marked(counts: Counter[str], layout: TextLayout) -> tuple[int, str]:
    """Counts cells that are numbers in another format than Python's, and names the options that may read them."""
    sign = layout.address.sign
    word = max(THOUSANDS, key=lambda each: counts[_GROUPED_BY[each]])
    grouped = counts[_GROUPED_BY[word]]
    decimal = f"if that is a decimal comma, add {sign}decimal=,"
    if not grouped or (word == "," and counts[_COMMAS]):
        way_out = decimal
    elif word == ",":
        way_out = f"if the comma groups digits, add {sign}thousands=,{'' if counts[_BOTH] else f'; {decimal}'}"
    else:
        comma = layout.decimal != "," and (word == "." or counts[_COMMAS])
        way_out = f"if {'a space' if word == 'space' else word} groups digits, add {sign}thousands={word}{'&decimal=,' * comma}"
    return counts[_COMMAS_ALONE] + sum(counts[_GROUPED_BY[each]] for each in THOUSANDS), way_out


def _contradiction(file: TextIO, layout: TextLayout, column: int, kind: str) -> str:
    """The first cell of a column that does not have its type, in words."""
    for line, row in layout.rows(file):
        text = layout.picked(row)[column]
        if text not in MISSING and kind_of(layout.written(text)) != kind:
            return f"{layout.address.location} line {line} holds {text!r}"
    raise AssertionError("some cell has another type")


def _values(texts: Sequence[str], column: Column, layout: TextLayout) -> np.ndarray:
    """The cells of a column: numbers with NaN for missing values, or texts with None for them."""
    if column.type in (CATEGORY, TEXT):
        return np.array([None if text in MISSING else text for text in texts], dtype=object)
    if column.type == NUMBER:
        written = [layout.written(text) if text not in MISSING else "nan" for text in texts]
        numbers = np.array(written).astype(np.float64)
        _check_exact([written[k] for k in np.flatnonzero(np.abs(numbers) >= EXACT_INTEGERS)], column, layout.address.location)
        return numbers
    of_text: Callable[[str], float | None] = days_of if column.type == DATE else lambda text: float(text.lower() == "true")
    found = [None if text in MISSING else of_text(text) for text in texts]
    return np.array([np.nan if each is None else each for each in found])
