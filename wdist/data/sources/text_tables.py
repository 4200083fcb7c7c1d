"""Text tables, ``.csv`` and ``.tsv``: rows of numbers, booleans, dates and categories.

A table of numbers alone is parsed by numpy. Any other is read twice: the first pass decides the type of each column, the second
reads its values.
"""

import codecs
import contextlib
import csv
import itertools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from functools import lru_cache
from typing import Any, TextIO

import numpy as np

from wdist.data.sources.address import Address
from wdist.data.sources.arrays import EXACT_INTEGERS, StoredArray, check_no_key, shortened, too_large
from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, DAYS, EMPTY, NUMBER, TEXT, Column, plain_columns, position_name
from wdist.data.sources.tables import (
    MISSING,
    Coder,
    TableRows,
    categories,
    chosen_columns,
    days,
    held,
    leave_out,
    named_option,
    stored_table,
)
from wdist.errors import SourceError
from wdist.files import FileVersion

_ROWS_AT_ONCE = 1 << 16
_ROWS_EXAMINED = 100
"""Rows by which a header of numbers and a separator of spaces are recognised."""
_BYTES_A_VALUE = 2
"""Fewest bytes of one value and its separator, which bounds the size of the parsed table."""
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_OTHER_DATE = re.compile(r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}( .*)?")
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
_GROUPED = re.compile(r"[+-]?\d{1,3}(?P<mark>[., '\u2019\u00a0\u202f])\d{3}((?P=mark)\d{3})*([.,]\d+)?")
_SPACES = " \u00a0\u202f"
_THOUSANDS = {",": ",", ".": ".", "'": "'\u2019", "space": _SPACES}
"""Marks between groups of three digits, by the word of the option."""
_SWAPPED = str.maketrans(".,", ",.")
_COMMA_NUMBER = re.compile(r'\s*"?([+-]?\d*(,\d+)?)"?\s*')


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """How a text table is written, and which of its columns are wanted."""

    address: Address
    delimiter: str
    decimal: str
    thousands: str
    """Characters that group digits by three; empty if none does."""
    header: bool
    names: tuple[str, ...] | None
    """Names of all columns; None without names that all differ."""
    chosen: list[int] | None
    """Positions of the wanted columns, in their order; None for all."""
    notes: tuple[str, ...]

    def picked(self, fields: Sequence[str]) -> list[str]:
        """The wanted fields of a row."""
        return list(fields) if self.chosen is None else [fields[k] for k in self.chosen]

    def written(self, text: str) -> str:
        """A cell with the marks that Python reads, if it is a number."""
        grouped = _GROUPED.fullmatch(text) if self.thousands else None
        if grouped and grouped["mark"] in self.thousands:
            text = text.replace(grouped["mark"], "")
        # Swapped, not replaced: with decimal commas, 1.234 is no number.
        return text.translate(_SWAPPED) if self.decimal == "," else text

    def labels(self, count: int) -> list[str | None]:
        """Names of the wanted columns, of ``count`` in all; None where they have none."""
        named = self.names is not None and len(self.names) == count and named_option(self.address) is not False
        names: tuple[str | None, ...] = self.names if named and self.names is not None else (None,) * count
        return list(names) if self.chosen is None else [names[k] for k in self.chosen]

    def lines(self, file: TextIO) -> Iterator[str]:
        """The lines below the header that are not blank."""
        file.seek(0)
        filled = (line for line in file if line.strip())
        return itertools.islice(filled, int(self.header), None)

    def rows(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Number of the last line and fields of each row below the header."""
        file.seek(0)
        reader = _reader(file, self.delimiter)
        filled = ((reader.line_num, [each.strip() for each in row]) for row in reader)
        return itertools.islice(((line, row) for line, row in filled if row and (len(row) > 1 or row[0])), int(self.header), None)


def open_text_table(address: Address) -> StoredArray:
    """All rows of a table as float64, shape (n, columns); parsed into a temporary file if they may not fit into memory."""
    check_no_key(address)
    name = address.location
    version = FileVersion.of(address.path, name)
    try:
        with version.reading(), address.path.open(encoding=_encoding(address), newline="") as file:
            layout = _layout(file, address)
            plain = "categories" not in address.options and not layout.thousands
            rows = _numbers(file, layout) if plain else None
            return _typed(file, layout) if rows is None else rows
    except UnicodeError as error:
        encoding = address.options.get("encoding", "UTF-8")
        way_out = f"name its encoding, such as {address.sign}encoding=cp1252 (Windows), or save it as UTF-8"
        raise SourceError(f"{name} is not {encoding} text; {way_out}") from error
    except csv.Error as error:
        raise SourceError(f"{name} cannot be read ({error}); give rows of numbers") from error


def _encoding(address: Address) -> str:
    """The encoding that the address names, or that the first bytes show."""
    named = address.options.get("encoding")
    if named is None:
        with address.path.open("rb") as file:
            return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        "".encode(named)  # also refuses codecs from bytes to bytes
    except LookupError as error:
        raise SourceError(f"{address}: encoding={named} is unknown; write for example encoding=cp1252 or utf-16") from error
    return named


def _layout(file: TextIO, address: Address) -> _Layout:
    lines = (line for line in file if line.strip())
    first, *sampled = list(itertools.islice(lines, 1 + _ROWS_EXAMINED)) or [""]
    if not first:
        raise SourceError(f"{address.location} holds no rows; give a table of numbers")
    decimal = address.choice("decimal", (".", ","), ".")
    thousands = _thousands(address, decimal)
    delimiter = _delimiter(first, sampled, address, decimal)
    fields, *others = _reader([first, *sampled], delimiter)
    words = [each.strip() for each in fields]
    header, notes = _header(words, others, address, decimal)
    names = _names(words, address) if header and not _counted(words) and named_option(address) is not False else None
    return _Layout(
        address=address,
        delimiter=delimiter,
        decimal=decimal,
        thousands=thousands,
        header=header,
        names=names,
        chosen=chosen_columns(address, names),
        notes=notes,
    )


def _names(words: list[str], address: Address) -> tuple[str, ...]:
    """The names of a header, each of which must differ."""
    names = tuple(word or f"Unnamed: {k}" for k, word in enumerate(words))  # as pandas calls them
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SourceError(
            f"{address.location} has {names.count(twice)} columns named {twice!r}; rename them, or take all columns by position "
            f"with {address.sign}names=no ({address.sign}header=no if line 1 is a sample)"
        )
    return names


def _thousands(address: Address, decimal: str) -> str:
    """The characters that the address names as marks between groups of digits."""
    if "thousands" not in address.options:
        return ""
    word = address.choice("thousands", tuple(_THOUSANDS))
    if word == decimal:
        raise SourceError(f"{address}: {word!r} cannot both group digits and mark decimals; add decimal= with the other mark")
    return _THOUSANDS[word]


def _delimiter(first: str, others: list[str], address: Address, decimal: str) -> str:
    """The separator that the address names, or that the first line shows."""
    if "delimiter" in address.options:
        wanted = address.options["delimiter"]
        found = wanted if wanted in _DELIMITERS.values() else _DELIMITERS[address.choice("delimiter", tuple(_DELIMITERS))]
    elif address.suffix.startswith(".tsv"):
        found = "\t"
    else:
        order = ";,\t|" if all(map(_COMMA_NUMBER.fullmatch, first.strip().split(";"))) else ",;\t|"
        found = next((each for each in order if each in first and each != decimal), ",;"[decimal == ","])
        widths = {len(line.split()) for line in others}
        if found not in first and widths == {len(first.split())} and min(widths) > 1:
            found = " "
    if found == decimal:
        raise SourceError(f"{address}: a comma cannot separate both columns and decimals; leave out decimal=, or name delimiter=")
    return found


def _reader(lines: TextIO | list[str], delimiter: str) -> Any:
    if delimiter != " ":
        return csv.reader(lines, delimiter=delimiter)
    return csv.reader((line.strip() for line in lines), delimiter=" ", skipinitialspace=True)


def _header(names: list[str], others: list[list[str]], address: Address, decimal: str) -> tuple[bool, tuple[str, ...]]:
    """Whether the first line is a header, and notes for the user."""
    if "header" in address.options:
        return address.choice("header", ("yes", "no")) == "yes", ()
    numbers = [bool(_DECIMAL_COMMA.fullmatch(each)) or _kind(each.replace(decimal, ".")) in (NUMBER, DATE) for each in names]
    chosen = {"columns", "without"} & set(address.options)
    if len(names) > 1 and not names[0] and not chosen and (_counted(names[1:]) or not any(numbers)):
        raise SourceError(
            f"{address.location} has a column without a name, as pandas and R write the numbers of rows; save it without them "
            f"(index=False), leave it out with {address.sign}without=Unnamed: 0, or read them as a coordinate with "
            f"{address.sign}header=yes"
        )
    if _counted(names):
        header = _names_columns(names, others, address)
        note = f"line 1 ({shortened(names)}) is read as the names of columns; {address.sign}header=no reads it as a sample"
        return header, (note,) if header else ()
    # A first line with a number among words is a row, not a header.
    return not any(numbers), ()


def _counted(names: list[str]) -> bool:
    """True for 0, 1, 2, ..., with which pandas names columns that have no names."""
    return names == [str(number) for number in range(len(names))]


def _names_columns(names: list[str], others: list[list[str]], address: Address) -> bool:
    """Tells if a first line 0, 1, 2, ... stands above rows of other numbers; refuses to guess if it may be a sample.

    A sample of whole numbers may begin so, as may the point (0, 1) of a curve, or a single column of times.
    """
    whole = all(re.fullmatch(r"\s*[+-]?\d+\s*", field) for fields in others for field in fields)
    if len(names) > 2 and not whole:
        return True
    if len(names) == 1 and whole:
        return False
    raise SourceError(
        f"{address.location} line 1 ({shortened(names)}) may hold the names of columns, as pandas writes them, or a sample; "
        f"add {address.sign}header=yes or {address.sign}header=no"
    )


def _numbers(file: TextIO, layout: _Layout) -> StoredArray | None:
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
    columns = plain_columns(layout.labels(width))
    counts = sum(missing, np.zeros(len(columns), dtype=np.int64))
    counted = tuple(
        replace(column, missing=int(count), type=EMPTY if count == rows.shape[0] else NUMBER)
        for column, count in zip(columns, counts, strict=True)
    )
    return stored_table(rows, None, counted, layout.address.location, layout.notes)


def _block(lines: Iterator[str], layout: _Layout) -> np.ndarray:
    """The next rows, shape (at most :data:`_ROWS_AT_ONCE`, columns)."""
    block = list(itertools.islice(lines, _ROWS_AT_ONCE))
    if not block:
        return np.empty((0, 0))
    if layout.decimal == ",":
        block = [line.translate(_SWAPPED) for line in block]
    delimiter = None if layout.delimiter == " " else layout.delimiter
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = np.loadtxt(block, delimiter=delimiter, ndmin=2, comments=None, quotechar='"', dtype=np.float64)
    large = np.flatnonzero((np.abs(rows) >= EXACT_INTEGERS).any(axis=1))
    for fields in _reader([block[row] for row in large], layout.delimiter):
        _check_exact(layout.picked(fields), layout.address.location)
    return rows


def _held(blocks: Iterator[np.ndarray], layout: _Layout) -> TableRows:
    first = next(blocks, None)
    if first is None:
        raise SourceError(f"{layout.address.location} holds a header but no rows; give a table of numbers")
    return held(itertools.chain([first], blocks), layout.address.path.stat().st_size // _BYTES_A_VALUE * 8)


def _check_exact(fields: Sequence[str], name: str) -> None:
    """Refuses numbers that are written digit by digit and that float64 would round to another integer."""
    for each in map(str.strip, fields):
        if not re.fullmatch(r"[+-]?\d+(\.\d*)?", each) or abs(value := float(each)) < EXACT_INTEGERS:
            continue
        if "." not in each or Fraction(each.rstrip(".")) != Fraction(value):
            raise too_large(name, each)


def _typed(file: TextIO, layout: _Layout) -> StoredArray:
    """A table whose columns have types of their own."""
    address = layout.address
    kinds, width = _kinds(file, layout)
    labels = layout.labels(width)
    forced = categories(address, [each or position_name(k) for k, each in enumerate(labels)], len(labels))
    columns = []
    for k, (column, found) in enumerate(zip(plain_columns(labels), kinds, strict=True)):
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


def _kinds(file: TextIO, layout: _Layout) -> tuple[list[Counter[str]], int]:
    """How many present cells of each wanted column are of each kind, and the number of all columns.

    Raises:
        SourceError: rows have different lengths.
    """
    kinds: list[Counter[str]] = []
    width, rows = 0, layout.rows(file)
    while block := list(itertools.islice(rows, _ROWS_AT_ONCE)):
        width = width or len(block[0][1])
        wrong = next(((line, row) for line, row in block if len(row) != width), None)
        if wrong is not None:
            lengths = f"{len(wrong[1])} columns, the first row {width}"
            raise SourceError(f"{layout.address.location} line {wrong[0]} has {lengths}; make all rows the same length")
        kinds = kinds or [Counter() for _ in layout.picked(block[0][1])]
        for counts, texts in zip(kinds, zip(*(layout.picked(row) for _, row in block), strict=True), strict=True):
            for text, count in Counter(texts).items():
                if text in MISSING:
                    continue
                counts[kind := _kind(layout.written(text))] += count
                if kind == CATEGORY:
                    grouped = _GROUPED.fullmatch(text)
                    comma = _DECIMAL_COMMA.fullmatch(text) if grouped is None else "," in text and grouped["mark"] != ","
                    counts[_COMMAS] += count * bool(comma)
                    counts[_BOTH] += count * ("." in text)
                    counts[_GROUPS[grouped["mark"]] if grouped else _COMMAS_ALONE] += count * bool(grouped or comma)
                    counts[_DATES] += count * bool(_OTHER_DATE.fullmatch(text))
    if not width:
        raise SourceError(f"{layout.address.location} holds a header but no rows; give a table of numbers")
    return kinds, width


_COMMAS, _COMMAS_ALONE, _BOTH = "decimal commas", "decimal commas without groups", "a point besides"
_DATES = "dates in another order"
_GROUPED_BY = {word: f"digits grouped by {word}" for word in _THOUSANDS}
_GROUPS = {mark: _GROUPED_BY[word] for word, marks in _THOUSANDS.items() for mark in marks}


def _kind(text: str) -> str:
    """The type of a single cell: number, boolean, date or category."""
    try:
        float(text)
    except ValueError:
        if text.lower() in ("true", "false"):
            return BOOLEAN
        return DATE if _days(text) is not None else CATEGORY
    return NUMBER if "_" not in text else CATEGORY


@lru_cache(maxsize=1 << 16)
def _days(text: str) -> float | None:
    """Days from 1970 to a date, or a date and time, in ISO 8601; without a time zone, that of UTC. None for any other text."""
    if not _DATE.fullmatch(text):
        return None
    with contextlib.suppress(ValueError):
        return days(datetime.fromisoformat(text))
    return None


def _decided(counts: Counter[str], name: str, layout: _Layout) -> tuple[str, str, str]:
    """The type of a column; what is wrong with cells of other types, and the way out, both empty if nothing is."""
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
    way_out = "give rows of numbers only" if layout.names is None else f"correct it, or {leave_out(name)}"
    return most, f"instead of a {most} in the column {name!r}", way_out


def _marked(counts: Counter[str], layout: _Layout) -> tuple[int, str]:
    """How many cells are numbers with other marks than Python's, and the options that may read them, in words."""
    sign = layout.address.sign
    word = max(_THOUSANDS, key=lambda each: counts[_GROUPED_BY[each]])
    grouped = counts[_GROUPED_BY[word]]
    decimal = f"if that is a decimal comma, add {sign}decimal=,"
    if not grouped or (word == "," and counts[_COMMAS]):
        way_out = decimal
    elif word == ",":
        way_out = f"if the comma groups digits, add {sign}thousands=,{'' if counts[_BOTH] else f'; {decimal}'}"
    else:
        comma = layout.decimal != "," and (word == "." or counts[_COMMAS])
        way_out = f"if {'a space' if word == 'space' else word} groups digits, add {sign}thousands={word}{'&decimal=,' * comma}"
    return counts[_COMMAS_ALONE] + sum(counts[_GROUPED_BY[each]] for each in _THOUSANDS), way_out


def _contradiction(file: TextIO, layout: _Layout, column: int, kind: str) -> str:
    """The first cell of a column that is not of its type, in words."""
    for line, row in layout.rows(file):
        text = layout.picked(row)[column]
        if text not in MISSING and _kind(layout.written(text)) != kind:
            return f"{layout.address.location} line {line} holds {text!r}"
    raise AssertionError("some cell has another type")


def _values(texts: Sequence[str], column: Column, layout: _Layout) -> np.ndarray:
    """The cells of a column: numbers with NaN for missing values, or texts with None for them."""
    if column.type in (CATEGORY, TEXT):
        return np.array([None if text in MISSING else text for text in texts], dtype=object)
    if column.type == NUMBER:
        written = [layout.written(text) if text not in MISSING else "nan" for text in texts]
        numbers = np.array(written).astype(np.float64)
        _check_exact([written[k] for k in np.flatnonzero(np.abs(numbers) >= EXACT_INTEGERS)], layout.address.location)
        return numbers
    of_text: Callable[[str], float | None] = _days if column.type == DATE else _truth
    found = [None if text in MISSING else of_text(text) for text in texts]
    return np.array([np.nan if each is None else each for each in found])


def _truth(text: str) -> float:
    return float(text.lower() == "true")
