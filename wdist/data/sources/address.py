"""The grammar of addresses: ``path[:key][?option=value&...]``, ``torchvision:NAME?...`` and ``synthetic:NAME?...``."""

import ast
import difflib
import glob
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

from wdist.errors import SourceError

Scheme: TypeAlias = Literal["file", "torchvision", "synthetic"]

NAMED_SCHEMES: tuple[Scheme, ...] = ("torchvision", "synthetic")
COMPRESSIONS = (".gz", ".bz2", ".xz", ".zip", ".zst")
# Only these formats hold several arrays; after any other suffix, a colon belongs to the file's name.
_KEYED_SUFFIXES = ("h5", "hdf5", "npy", "npz", "csv", "tsv", "pt", "pth", "safetensors", "tar")
_WITH_KEY = re.compile(rf"(?P<path>.+?\.(?:{'|'.join(_KEYED_SUFFIXES)})):(?P<key>.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Address:
    """A parsed address, which its source interprets; SourceError if an option is malformed, or missing without a default."""

    text: str
    """As the user wrote it."""
    scheme: Scheme
    location: str
    """A path, or the name of a dataset or distribution."""
    key: str | None
    """The name after the colon: a dataset of an HDF5 file, an array of an archive."""
    options: Mapping[str, str]
    copy: Path | None = None
    """The temporary file that is read instead of a remote or compressed one; it lasts as long as this object."""

    def __str__(self) -> str:
        return self.text

    @property
    def path(self) -> Path:
        return expanded(self.location) if self.copy is None else self.copy

    @property
    def is_remote(self) -> bool:
        """Whether it names a file on another machine, such as ``s3://bucket/a.csv``."""
        return self.scheme == "file" and re.match(r"[a-z][a-z0-9+]*://", self.location) is not None

    @property
    def is_pattern(self) -> bool:
        """Whether its location is a pattern such as ``data-*.npy``."""
        return self.scheme == "file" and glob.has_magic(self.location) and not self.path.exists()

    @property
    def suffix(self) -> str:
        """The suffix of the format, without a compression suffix such as ``.gz``."""
        return Path(self.location[: len(self.location) - len(self.compression)]).suffix.lower()

    @property
    def compression(self) -> str:
        """The compression suffix, such as ``.gz``; empty without compression."""
        return next((end for end in COMPRESSIONS if self.location.lower().endswith(end)), "")

    @property
    def bare(self) -> str:
        """The address without its options."""
        name = self.location if self.scheme == "file" else f"{self.scheme}:{self.location}"
        return name if self.key is None else f"{name}:{self.key}"

    @property
    def sign(self) -> str:
        """The character that introduces one more option: ``?`` or ``&``."""
        return "&" if self.options else "?"

    def only(self, *known: str) -> None:
        """Refuses unknown options."""
        for option in self.options:
            if option not in known:
                way_out = suggestion(option, known, "its options are")
                raise SourceError(f"{self.text}: {self.bare} has no option {option!r}; {way_out}")

    def integer(self, option: str, default: int | None = None, *, least: int = 1) -> int:
        """An option's value as a whole number of at least ``least``."""
        text = self._text(option, default, "a whole number")
        if not re.fullmatch(r"[+-]?\d{1,18}", text) or int(text) < least:
            example = f"{option}={max(least, 10)}"
            raise SourceError(f"{self.text}: {option}={text} is not a whole number of at least {least}; write {example}")
        return int(text)

    def number(self, option: str, default: float | None = None) -> float:
        """An option's value as a finite number."""
        text = self._text(option, default, "a number")
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise SourceError(f"{self.text}: {option}={text} is not a finite number; write for example {option}=1.5")
        return value

    def choice(self, option: str, choices: tuple[str, ...], default: str | None = None) -> str:
        """An option's value, one of several words."""
        text = self._text(option, default, f"one of {', '.join(choices)}")
        if text not in choices:
            raise SourceError(f"{self.text}: {option}={text} is unknown; {suggestion(text, choices, 'choose one of')}")
        return text

    def interval(self, option: str) -> tuple[float, float] | None:
        """An option's value ``low:high`` as two numbers with low < high; None if the option is missing."""
        text = self.options.get(option)
        if text is None:
            return None
        low, _, high = text.partition(":")
        try:
            ends = (float(low), float(high))
        except ValueError:
            ends = (math.nan, math.nan)
        if not (ends[0] < ends[1] and math.isfinite(ends[1] - ends[0])):
            raise SourceError(f"{self.text}: {option}={text} is not an interval; write for example {option}=0:255")
        return ends

    def _text(self, option: str, default: float | str | None, what: str) -> str:
        if option in self.options:
            return self.options[option]
        if default is None:
            raise SourceError(f"{self.text} needs {what} for {option!r}; add it as {self.text}{self.sign}{option}=...")
        return str(default)


def expanded(path: str) -> Path:
    """A path in which ``~`` is replaced by a home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise SourceError(f"{path} names the home folder of an unknown user; write the folder itself, or ./{path}") from error


def suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """``did you mean 'x'?``, or ``otherwise`` followed by all known words if none is close."""
    words = sorted(set(known))
    return near_miss(word, words) or f"{otherwise} {', '.join(words)}"


def near_miss(word: str, known: Iterable[str]) -> str | None:
    """``did you mean 'x'?``, or None if no known word is close."""
    near = difflib.get_close_matches(word, sorted(set(known)), n=1, cutoff=0.6)
    return f"did you mean {near[0]!r}?" if near else None


def literal(text: str) -> Any:
    """The value of a Python literal, with ``true``, ``false`` and ``none`` in any case; any other text stays a string."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def parse_address(text: str | Path) -> Address:
    """Parses an address without opening anything; option values may be percent-encoded.

    If a file with the whole text as its name exists, the address means that file, even with ``?`` or ``:`` in it.
    """
    text = str(text)
    if not text.strip():
        raise SourceError("an address is empty; name a file, a folder, torchvision:NAME or synthetic:NAME")
    if "\0" in text:
        raise SourceError(
            f"the address {text!r} contains a null character; name a file, a folder, torchvision:NAME or synthetic:NAME"
        )
    scheme: Scheme = "file"
    rest = text
    for named in NAMED_SCHEMES:
        if text.startswith(f"{named}:"):
            scheme, rest = named, text[len(named) + 1 :]
    if scheme == "file" and _exists(text):
        return Address(text=text, scheme=scheme, location=text, key=None, options={})
    location, _, query = rest.partition("?")
    key: str | None = None
    if scheme == "file" and not _exists(location) and (match := _WITH_KEY.fullmatch(location)):
        location, key = match["path"], match["key"]
    if not location:
        raise SourceError(f"{text} names nothing; write a name or path before the options")
    return Address(text=text, scheme=scheme, location=location, key=key, options=_options(text, query))


def _exists(location: str) -> bool:
    try:
        return expanded(location).exists()
    except (OSError, SourceError):  # the name is too long for the file system, or ~ names an unknown user
        return False


def _options(text: str, query: str) -> dict[str, str]:
    options: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals or not name or not value:
            raise SourceError(f"{text}: the option {part!r} has no value; write it as {name or 'option'}=value")
        if name in options:
            raise SourceError(f"{text}: the option {name!r} is given twice; leave one out")
        options[name] = unquote(value)
    return options


def check_named(text: str) -> None:
    """Refuses the address of a missing, unreadable or empty file of this machine, without opening a source."""
    address = parse_address(text)
    if address.scheme == "file" and not address.is_remote and not address.is_pattern:
        check_there(address)


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
    if address.location == "-":
        return "save standard input to a file and name that, because sources are read more than once"
    word, colon, _ = address.location.partition(":")
    if colon and (near := near_miss(word, NAMED_SCHEMES)):
        return near.replace("'?", ":...'?")
    parent = address.path.parent
    names = [path.name for path in parent.iterdir()] if parent.is_dir() else []
    return near_miss(address.path.name, names) or "name a file, a folder, torchvision:NAME or synthetic:NAME"


def file_and_name(address: str | Path, suffix: str) -> tuple[Path, str | None]:
    """The file and the name in ``FILE:NAME``, where the file ends in ``suffix``; None without a name."""
    text = str(address)
    if not expanded(text).exists() and f"{suffix}:" in text:
        file, _, name = text.rpartition(f"{suffix}:")
        return expanded(f"{file}{suffix}"), name
    return expanded(text), None
