"""Checks arguments as users write them against type annotations; errors name the argument."""

import math
import re
from collections.abc import Collection
from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from numbers import Integral, Real
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from wdist.distributed.job import launched
from wdist.errors import UsageError
from wdist.keywords import RENAMED

_WORDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text", Path: "a path"}
_PLAIN = (bool, int, float, str)


def check_fields(instance: object) -> None:
    """Checks the plain fields of a frozen dataclass, and turns numpy's numbers into Python's.

    Raises:
        UsageError: a field does not have the type of its annotation.
    """
    owner: Any = type(instance)
    for name, kinds in _kinds(owner).items():
        value = accepted(name, getattr(instance, name), *kinds)
        object.__setattr__(instance, name, value)


def accepted(name: str, value: Any, *kinds: Any) -> Any:
    """The value as one of some types, among which may be ``None``; numpy's numbers become Python's, and integers serve as floats.

    Raises:
        UsageError: the value has none of these types; the message names the argument.
    """
    if value is None and None in kinds:
        return None
    if isinstance(value, bool) or type(value).__name__ == "bool_":
        if bool in kinds:
            return bool(value)
    elif isinstance(value, Integral) and (int in kinds or float in kinds):
        return int(value) if int in kinds else _as_float(name, value)
    elif isinstance(value, Real) and float in kinds:
        return float(value)
    elif isinstance(value, tuple(kind for kind in kinds if isinstance(kind, type) and kind not in (bool, int, float))):
        return value
    words = " or ".join([_words(kind) for kind in kinds if kind is not None])
    raise UsageError(f"{name} must be {words}, not {shown(value)}")


def unknown_keyword(name: str, known: Collection[str]) -> UsageError:
    """The error for a keyword argument that is none of the known ones; names of options of the command line are understood."""
    renamed = RENAMED.get(name.replace("_", "-"))
    near = [renamed] if renamed in known else get_close_matches(name, known, n=1)
    way_out = f"did you mean {near[0]}?" if near else f"the options are {', '.join(known)}"
    return UsageError(f"there is no option {name}; {way_out}")


def read_shard(words: str | None) -> tuple[int, int]:
    """Number of a shard, starting from 0, and the number of shards.

    Raises:
        UsageError: the text is not of the form ``1/3``, or torchrun already divides the work.
    """
    match = re.fullmatch(r"\s*(\d+)\s*/\s*(\d+)\s*", words or "1/1")
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--shard {words} does not name a part of a whole; write --shard 1/3, 2/3 and 3/3")
    if int(match[2]) > 1 and launched():
        raise UsageError("--shard is for machines without torchrun, which divides the work itself; leave it out")
    return int(match[1]) - 1, int(match[2])


def shown(value: Any) -> str:
    """A value as text for a message: shortened, and only its type unless it is plain."""
    if value is None or isinstance(value, (*_PLAIN, list, tuple, dict)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return f"of type {type(value).__name__}"


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise UsageError(f"{name} is too large for a number; give one below {math.floor(1e308):.0e}") from None


def _words(kind: Any) -> str:
    return _WORDS.get(kind) or f"wdist.{kind.__name__}"


@cache
def _kinds(owner: type) -> dict[str, tuple[Any, ...]]:
    """Types of the fields whose annotations consist only of plain types and classes."""
    hints, found = get_type_hints(owner), {}
    for field in fields(owner):
        hint = hints[field.name]
        parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        kinds = tuple(None if part is type(None) else part for part in parts)
        if Any not in kinds and all(kind is None or isinstance(kind, type) for kind in kinds):
            found[field.name] = kinds
    return found
