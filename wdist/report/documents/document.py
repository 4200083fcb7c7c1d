"""JSON documents of results: written from their attributes, with a published schema; null where a number is not finite."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import partial
from operator import attrgetter
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

from wdist.report.documents.docstrings import attributes

SCHEMA_VERSION = "1"


@dataclass(frozen=True)
class Key:
    """A key that is not an attribute of the result, or whose attribute needs another type or description."""

    type: str = ""
    """Annotation; by default that of the attribute."""
    description: str = ""
    """By default the docstring of the attribute."""
    value: str | Callable[[Any], Any] | None = None
    """Path of attributes, or a function of the result; by default the attribute itself, or what the enclosing form gives."""

    def of(self, result: Any, name: str) -> Any:
        """The value of a result."""
        return self.value(result) if callable(self.value) else attrgetter(self.value or name)(result)


@dataclass(frozen=True)
class Form:
    """The document of one class of results: its keys, in order, which are the published contract."""

    name: str
    """Name of the definition in the schema."""
    of: str
    """The class, as ``package.module:Class``; it is not imported."""
    keys: str
    """Attributes and other keys, separated by spaces."""
    title: str = ""
    """Description of the whole; by default the first line of the docstring of the class."""
    base: str | None = None
    """Form whose keys come first."""
    base_of: Callable[[Any], Any] = lambda result: result
    """Finds the result that the base form is for."""
    nullable: str = ""
    """Keys whose numbers may be none."""
    special: Mapping[str, Key] = field(default_factory=dict)
    """Keys that are not simply attributes."""
    forms: Mapping[str, str] = field(default_factory=dict)
    """Keys whose values take another form than the usual one of their class."""
    given: Mapping[str, Callable[[Any, Any], Mapping[str, Any]]] = field(default_factory=dict)
    """For a key: computes keys of each value that only this result knows, from the result and the value."""


class Forms:
    """Forms that refer to each other; the first of a class is its usual one.

    Arguments:
        forms: with distinct names.
    """

    def __init__(self, *forms: Form) -> None:
        self._named = {form.name: form for form in forms}
        self._usual = {form.of: form.name for form in reversed(forms)}
        self._models: dict[str, type[BaseModel]] = {}

    def document(self, result: Any, name: str, **given: Any) -> dict[str, Any]:
        """Writes a result as plain values.

        Arguments:
            result: of the class that the form is for.
            name: that of the form.
            given: values of keys that the result does not know.
        """
        form = self._named[name]
        document = {} if form.base is None else self.document(form.base_of(result), form.base)
        for key in form.keys.split():
            value = given[key] if key in given else form.special.get(key, Key()).of(result, key)
            more = partial(form.given[key], result) if key in form.given else _nothing_more
            document[key] = self._plain(value, form.forms.get(key), more)
        return document

    def _plain(self, value: Any, name: str | None, more: Callable[[Any], Mapping[str, Any]]) -> Any:
        """Plain values; dataclasses take their forms, and all their fields where they have none."""
        if isinstance(value, dict):
            return {each: self._plain(part, name, more) for each, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._plain(part, name, more) for part in value]
        if not is_dataclass(value):
            return plain(value)
        name = name or self._usual.get(f"{type(value).__module__}:{type(value).__qualname__}")
        return plain(value) if name is None else self.document(value, name, **more(value))

    def model(self, name: str) -> type[BaseModel]:
        """The schema of a form as a class that validates documents."""
        if name not in self._models:
            self._models[name] = self._made(self._named[name])
        return self._models[name]

    def _made(self, form: Form) -> type[BaseModel]:
        described = attributes(form.of)
        types: dict[str, Any] = {}
        for key in form.keys.split():
            special = form.special.get(key, Key())
            annotation, description = described.get(key, ("Any", ""))
            words = special.description or _as_json_says(description)
            kind = "Number" if key in form.nullable.split() else special.type or annotation
            types[key] = (self._type(kind, form.forms.get(key)), Field(description=words or None))
        base = Document if form.base is None else self.model(form.base)
        return create_model(form.name, __base__=base, __doc__=form.title or described[""][1], **types)

    def _type(self, annotation: str, name: str | None) -> Any:
        """The type that an annotation stands for, where names of classes with a form stand for their documents."""
        named = {each: each for each in self._named} | {of.partition(":")[2]: each for of, each in self._usual.items()}
        # Forms are made when they are met: one may be part of another.
        needed = {word: self.model(name or form) for word, form in named.items() if word in re.findall(r"\w+", annotation)}
        holder = type("Holder", (), {"__annotations__": {"value": re.sub(r"\w+\.(?=\w)", "", annotation)}})  # no module names
        return get_type_hints(holder, localns={**_NAMES, **needed}, include_extras=True)["value"]


def _nothing_more(value: Any) -> Mapping[str, Any]:
    return {}


def _as_json_says(description: str) -> str:
    return description.replace("``", "`").replace("None", "null").replace("True", "true").replace("False", "false")


def text(document: Any) -> str:
    """A document as indented JSON that ends with a line feed; numbers at full precision."""
    value = document.model_dump(mode="json") if isinstance(document, BaseModel) else document
    shown = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is no UTF-8 reaches Python with lone surrogates, which JSON can only hold as escapes.
    return shown.encode(errors="backslashreplace").decode()


def facts(result: Any, *, command: str) -> dict[str, Any]:
    """The document of a result that has no published schema: all fields of a dataclass."""
    return {"schema_version": SCHEMA_VERSION, "command": command, **plain(result)}


def plain(value: Any) -> Any:
    """The same as dictionaries, lists, texts and finite numbers; null in the place of what is not finite."""
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    match value:
        case dict():
            return {key: plain(part) for key, part in value.items()}
        case list() | tuple():
            return [plain(part) for part in value]
        case Enum():
            return value.value
        case PurePath():
            return str(value)
        case _:
            return _null_unless_finite(value)


def _null_unless_finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number: TypeAlias = Annotated[float | None, BeforeValidator(_null_unless_finite)]
"""A number, or null where there is none; never NaN or infinity, which JSON does not have."""
_NAMES = {"Number": Number, "Literal": Literal, "Any": Any, "Path": str}


class Document(BaseModel):
    """A document, or an object inside one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
