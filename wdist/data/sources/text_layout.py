"""Layouts of text tables: encoding, separators, number format and header, as stated in the address or seen in the first lines."""

import codecs
import contextlib
import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, TextIO

from wdist.data.sources.address import Address
from wdist.data.sources.arrays import shortened
from wdist.data.sources.column import BOOLEAN, CATEGORY, DATE, NUMBER, Column, position_name
from wdist.data.sources.tables import chosen_columns, days, named_option
from wdist.errors import SourceError

_ROWS_EXAMINED = 100
"""Rows examined to recognise a header of numbers and a separator of spaces."""
_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "space": " "}
_DATE = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+")
GROUPED = re.compile(r"[+-]?\d{1,3}(?P<mark>[., '\u2019\u00a0\u202f])\d{3}((?P=mark)\d{3})*([.,]\d+)?")
_SPACES = " \u00a0\u202f"
THOUSANDS = {",": ",", ".": ".", "'": "'\u2019", "space": _SPACES}
"""Characters that group digits by three, by the word in ``thousands=``."""
SWAPPED = str.maketrans(".,", ",.")
_SEPARATOR = re.compile('"?sep=.?"?', re.IGNORECASE)
_COMMA_NUMBER = re.compile(r'\s*"?([+-]?\d*(,\d+)?)"?\s*')


@dataclass(frozen=True, kw_only=True)
class TextLayout:
    """Format of the rows of a text table, and the wanted columns."""

    address: Address
    delimiter: str
    decimal: str
    thousands: str
    """Characters that group digits by three; empty if none does."""
    header: bool
    names: tuple[str, ...] | None
    """Names of all columns; None if there are no names."""
    chosen: list[int] | None
    """Positions of the wanted columns, in the requested order; None for all."""
    notes: tuple[str, ...]

    def picked(self, fields: Sequence[str]) -> list[str]:
        """The wanted fields of a row."""
        return list(fields) if self.chosen is None else [fields[k] for k in self.chosen]

    def written(self, text: str) -> str:
        """A cell in Python's number format, if it is a number."""
        grouped = GROUPED.fullmatch(text) if self.thousands else None
        if grouped and grouped["mark"] in self.thousands:
            text = text.replace(grouped["mark"], "")
        # Swapped, not replaced: with decimal commas, 1.234 is not a number.
        return text.translate(SWAPPED) if self.decimal == "," else text

    def columns(self, count: int) -> tuple[Column, ...]:
        """The wanted columns among ``count`` in all, as numbers; columns without names are called by their positions."""
        names = self.names or [position_name(k) for k in range(count)]
        wanted = range(count) if self.chosen is None else self.chosen
        return tuple(
            Column(name=names[k], named=self.names is not None, start=place, stop=place + 1) for place, k in enumerate(wanted)
        )

    def lines(self, file: TextIO) -> Iterator[str]:
        """The lines below the header that are not blank."""
        file.seek(0)
        filled = (line for line in file if line.strip())
        return itertools.islice(filled, int(self.header), None)

    def rows(self, file: TextIO) -> Iterator[tuple[int, list[str]]]:
        """Number of the last line and fields of each row below the header."""
        file.seek(0)
        reader = reader_of(file, self.delimiter)
        filled = ((reader.line_num, [each.strip() for each in row]) for row in reader)
        return itertools.islice(((line, row) for line, row in filled if row and (len(row) > 1 or row[0])), int(self.header), None)


def encoding_of(address: Address) -> str:
    """The encoding that the address names, or that the first bytes reveal."""
    named = address.options.get("encoding")
    if named is None:
        with address.path.open("rb") as file:
            return "utf-16" if file.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE) else "utf-8-sig"
    try:
        "".encode(named)  # also refuses codecs from bytes to bytes
    except LookupError as error:
        raise SourceError(f"{address}: encoding={named} is unknown; write for example encoding=cp1252 or utf-16") from error
    return named


def layout_of(file: TextIO, address: Address) -> TextLayout:
    """The layout that the address states, or that the first lines reveal.

    Raises:
        SourceError: there are no rows, or they can be read in two ways.
    """
    lines = (line for line in file if line.strip())
    first, *sampled = list(itertools.islice(lines, 1 + _ROWS_EXAMINED)) or [""]
    if not first:
        raise SourceError(f"{address.location} holds no rows; give a table of numbers")
    if _SEPARATOR.fullmatch(first.strip()):
        raise SourceError(f"{address.location} line 1 is {first.strip()!r}, a note for Excel; delete this line")
    decimal = address.choice("decimal", (".", ","), ".")
    thousands = _thousands(address, decimal)
    delimiter = _delimiter(first, sampled, address, decimal)
    fields, *others = reader_of([first, *sampled], delimiter)
    words = [each.strip() for each in fields]
    header, notes = _header(words, others, address, decimal)
    width = len(others[0]) if others else len(words)
    if header and width != len(words) and named_option(address) is not False:
        differs = f"{address.location} line 1 names {len(words)} column{'s' * (len(words) > 1)} above rows of {width}"
        by_position = f"name every column, or take them by position with {address.sign}names=no"
        raise SourceError(f"{differs}; {'delete this comment' if first.lstrip().startswith('#') else by_position}")
    names = _names(words, address) if header and not _counted(words) and named_option(address) is not False else None
    return TextLayout(
        address=address,
        delimiter=delimiter,
        decimal=decimal,
        thousands=thousands,
        header=header,
        names=names,
        chosen=chosen_columns(address, names, width),
        notes=notes,
    )


def _names(words: list[str], address: Address) -> tuple[str, ...]:
    """The names of a header, which must all differ."""
    names = tuple(word or f"Unnamed: {k}" for k, word in enumerate(words))  # as pandas calls them
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        raise SourceError(
            f"{address.location} has {names.count(twice)} columns named {twice!r}; rename them, or take all columns by position "
            f"with {address.sign}names=no ({address.sign}header=no if line 1 is a sample)"
        )
    return names


def _thousands(address: Address, decimal: str) -> str:
    """The characters that group digits, as stated in the address."""
    if "thousands" not in address.options:
        return ""
    word = address.choice("thousands", tuple(THOUSANDS))
    if word == decimal:
        raise SourceError(f"{address}: {word!r} cannot both group digits and mark decimals; add decimal= with the other mark")
    return THOUSANDS[word]


def _delimiter(first: str, others: list[str], address: Address, decimal: str) -> str:
    """The separator that the address names, or that the first line reveals."""
    if "delimiter" in address.options:
        wanted = address.options["delimiter"]
        found = wanted if wanted in _DELIMITERS.values() else _DELIMITERS[address.choice("delimiter", tuple(_DELIMITERS))]
    elif address.suffix.startswith(".tsv"):
        found = "\t"
    else:
        order = ";,\t|" if all(map(_COMMA_NUMBER.fullmatch, first.strip().split(";"))) else ",;\t|"
        found = next((each for each in order if each in first and each != decimal), ",;"[decimal == ","])
        if found not in first:
            widths = {len(fields) for fields in reader_of([first, *others], " ")}
            found = " " if others and len(widths) == 1 and widths != {1} else found
    if found == decimal:
        raise SourceError(f"{address}: a comma cannot separate both columns and decimals; leave out decimal=, or name delimiter=")
    return found


def reader_of(lines: TextIO | list[str], delimiter: str) -> Any:
    """The fields of each row; several spaces in a row count as one separator."""
    if delimiter != " ":
        return csv.reader(lines, delimiter=delimiter)
    return csv.reader((line.strip() for line in lines), delimiter=" ", skipinitialspace=True)


def _header(names: list[str], others: list[list[str]], address: Address, decimal: str) -> tuple[bool, tuple[str, ...]]:
    """Whether the first line is a header, and notes for the user."""
    if "header" in address.options:
        return address.choice("header", ("yes", "no")) == "yes", ()
    numbers = [bool(DECIMAL_COMMA.fullmatch(each)) or kind_of(each.replace(decimal, ".")) in (NUMBER, DATE) for each in names]
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
    """True if a first line 0, 1, 2, ... names columns of other numbers; raises SourceError if it may be a sample.

    A sample of whole numbers may look like this, as may the point (0, 1) of a curve, or a single column of times.
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


def kind_of(text: str) -> str:
    """The type of a single cell: number, boolean, date or category."""
    try:
        float(text)
    except ValueError:
        if text.lower() in ("true", "false"):
            return BOOLEAN
        return DATE if days_of(text) is not None else CATEGORY
    return NUMBER if "_" not in text else CATEGORY


@lru_cache(maxsize=1 << 16)
def days_of(text: str) -> float | None:
    """Days from 1970 to a date, or a date and time, in ISO 8601; without a time zone, that of UTC. None for any other text."""
    if not _DATE.fullmatch(text):
        return None
    with contextlib.suppress(ValueError):
        return days(datetime.fromisoformat(text))
    return None
