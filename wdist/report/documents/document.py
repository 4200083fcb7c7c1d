"""JSON documents of results: written from their attributes, with a published schema; null for a number that is not finite.

Annotations and docstrings of results are read from their source files, so that printing a schema imports nothing slow.
"""

from __future__ import annotations

import ast
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from enum import Enum
from functools import cache, partial, reduce
from importlib.util import find_spec
from inspect import cleandoc
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

SCHEMA_VERSION = "1"


@dataclass(frozen=True)
class Key:
    """A key that is not an attribute of the result, or whose attribute needs another type or description."""

    type: str = ""
    """Annotation of the type; by default that of the attribute."""
    description: str = ""
    """By default the docstring of the attribute."""
    value: str | Callable[[Any], Any] | None = None
    """Path of attributes, the last of which is None if an earlier one is, or a function of the result; by default the attribute
    itself, or a value given by the enclosing form."""

    def of(self, result: Any, name: str) -> Any:
        """The value of a result."""
        if callable(self.value):
            return self.value(result)
        return reduce(lambda part, each: None if part is None else getattr(part, each), (self.value or name).split("."), result)


@dataclass(frozen=True)
class Form:
    """The document of one class of results: its keys, in order, which are the published contract."""

    name: str
    """Name of the definition in the schema."""
    of: str
    """The class, as ``package.module:Class``; it is not imported."""
    keys: str = "*"
    """Attributes and other keys, separated by spaces; an asterisk stands for all fields of the class."""
    title: str = ""
    """Description of the whole; by default the first line of the docstring of the class."""
    base: str | None = None
    """Form whose keys come first."""
    base_of: Callable[[Any], Any] = lambda result: result
    """The result that the base form describes, as a function of this one."""
    nullable: str = ""
    """Keys whose numbers may be null."""
    special: Mapping[str, Key] = field(default_factory=dict)
    """Keys that are not simply attributes."""
    forms: Mapping[str, str] = field(default_factory=dict)
    """Keys whose values do not take the usual form of their class, with the form that they take."""
    given: Mapping[str, Callable[[Any, Any], Mapping[str, Any]]] = field(default_factory=dict)
    """By key, a function of the result and of each value under that key: it gives keys of the value that only the result knows."""

    @property
    def names(self) -> list[str]:
        """The keys, without those of the base form."""
        own = " ".join(name for name, each in _attributes(self.of).items() if each.is_field)
        return self.keys.replace("*", own).split()


class Forms:
    """Forms that refer to each other; the first form of a class is its usual one, and some keys are the same ``everywhere``."""

    def __init__(self, *forms: Form, everywhere: Mapping[str, Key]) -> None:
        self._named = {form.name: form for form in forms}
        self._usual = {form.of: form.name for form in reversed(forms)}
        self._everywhere = everywhere
        self._models: dict[str, type[BaseModel]] = {}

    def document(self, result: Any, name: str, **given: Any) -> dict[str, Any]:
        """Writes a result in the form of that name, as plain values; ``given`` holds values that the result does not know."""
        form = self._named[name]
        document = {} if form.base is None else self.document(form.base_of(result), form.base)
        for key in form.names:
            value = given[key] if key in given else self._key(form, key).of(result, key)
            document[key] = plain(value, partial(self._part, result, form, key))
        return document

    def _part(self, result: Any, form: Form, key: str, part: Any) -> dict[str, Any]:
        """A dataclass below a key, in its form; with all its fields if it has none."""
        name = form.forms.get(key) or self._usual.get(f"{type(part).__module__}:{type(part).__qualname__}")
        more = form.given[key](result, part) if key in form.given else {}
        return _all_fields(part) if name is None else self.document(part, name, **more)

    def model(self, name: str) -> type[BaseModel]:
        """The schema of a form as a class that validates documents."""
        if name not in self._models:
            self._models[name] = self._made(self._named[name])
        return self._models[name]

    def _key(self, form: Form, key: str) -> Key:
        return form.special.get(key) or self._everywhere.get(key, Key())

    def _made(self, form: Form) -> type[BaseModel]:
        described = _attributes(form.of)
        types: dict[str, Any] = {}
        for name in form.names:
            key, attribute = self._key(form, name), described.get(name, _Attribute("Any", ""))
            annotation = "Number" if name in form.nullable.split() else key.type or attribute.annotation
            words = key.description or _as_json_says(attribute.words)
            types[name] = (self._type(annotation, form.forms.get(name)), Field(description=words or None))
        base = Document if form.base is None else self.model(form.base)
        return create_model(form.name, __base__=base, __doc__=form.title or described[""].words, **types)

    def _type(self, annotation: str, name: str | None) -> Any:
        """The type that an annotation means, if names of classes with a form mean their documents."""
        named = {each: each for each in self._named} | {of.partition(":")[2]: each for of, each in self._usual.items()}
        # Forms are made when they are met: one may be part of another.
        needed = {word: self.model(name or form) for word, form in named.items() if word in re.findall(r"\w+", annotation)}
        holder = type("Holder", (), {"__annotations__": {"value": re.sub(r"\w+\.(?=\w)", "", annotation)}})  # no module names
        return get_type_hints(holder, localns={**_NAMES, **needed}, include_extras=True)["value"]


class _Attribute(NamedTuple):
    annotation: str
    words: str
    """First paragraph of the docstring, on one line."""
    is_field: bool = False


@cache
def _attributes(path: str) -> dict[str, _Attribute]:
    """Fields and properties of ``package.module:Class`` by name, inherited ones first; the class has the empty name."""
    module, _, name = path.partition(":")
    classes = {each.name: each for each in _parsed(module).body if isinstance(each, ast.ClassDef)}
    assert name in classes, f"{module} has no class {name}; the table of documents names another place"
    known: dict[str, _Attribute] = {}
    for base in classes[name].bases:
        if isinstance(base, ast.Name) and base.id in classes:
            known |= _attributes(f"{module}:{base.id}")
    return {**known, **dict(_stated(classes[name])), "": _Attribute("", _one_line(ast.get_docstring(classes[name])))}


@cache
def _parsed(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None, f"there is no module {module}"
    assert spec.origin is not None, f"the module {module} has no source"
    return ast.parse(Path(spec.origin).read_text(encoding="utf-8"))


def _stated(found: ast.ClassDef) -> Iterator[tuple[str, _Attribute]]:
    for statement, following in zip(found.body, [*found.body[1:], None], strict=True):
        match statement, following:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind), ast.Expr(value=ast.Constant(value=str() as words)):
                yield name, _Attribute(ast.unparse(kind), _one_line(words), is_field=True)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=kind), _:
                yield name, _Attribute(ast.unparse(kind), "", is_field=True)
            case ast.FunctionDef(name=name, returns=ast.expr() as kind, decorator_list=[_, *_]) as function, _:
                yield name, _Attribute(ast.unparse(kind), _one_line(ast.get_docstring(function)))


def _one_line(words: str | None) -> str:
    return " ".join(cleandoc(words or "").partition("\n\n")[0].split())


def _as_json_says(description: str) -> str:
    return description.replace("``", "`").replace("None", "null").replace("True", "true").replace("False", "false")


def text(document: Mapping[str, Any]) -> str:
    """A document as indented JSON that ends with a line feed; numbers at full precision."""
    shown = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is not UTF-8 reaches Python with lone surrogates, which JSON can hold only as escapes.
    return shown.encode(errors="backslashreplace").decode()


def _all_fields(value: Any) -> dict[str, Any]:
    return {each.name: plain(getattr(value, each.name)) for each in fields(value)}


def plain(value: Any, written: Callable[[Any], dict[str, Any]] = _all_fields) -> Any:
    """The value as dictionaries, lists, texts and finite numbers, with null for other numbers; ``written`` writes dataclasses."""
    match value:
        case dict():
            return {key: plain(part, written) for key, part in value.items()}
        case list() | tuple():
            return [plain(part, written) for part in value]
        case Enum():
            return value.value
        case PurePath():
            return str(value)
        case _:
            return written(value) if is_dataclass(value) else _null_unless_finite(value)


def _null_unless_finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number: TypeAlias = Annotated[float | None, BeforeValidator(_null_unless_finite)]
"""A number or null; never NaN or infinity, which JSON does not have."""
_NAMES = {"Number": Number, "Literal": Literal, "Any": Any, "Path": str}


class Document(BaseModel):
    """A document, or an object inside one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
