"""Attributes of a class with their annotations and docstrings, read from the source, so that nothing slow is imported."""

import ast
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from inspect import cleandoc
from typing import Protocol


class _HasSource(Protocol):
    def get_source(self, fullname: str) -> str | None: ...


@cache
def attributes(path: str) -> dict[str, tuple[str, str]]:
    """Fields and properties of a class by name, each with its annotation and its docstring on one line.

    Arguments:
        path: ``package.module:Class``.

    Returns:
        Inherited ones first; the docstring of the class itself stands under the empty name, its first paragraph alone.
    """
    module, _, name = path.partition(":")
    tree = _parsed(module)
    found = next((each for each in tree.body if isinstance(each, ast.ClassDef) and each.name == name), None)
    assert found is not None, f"{module} has no class {name}; the table of documents names another place"
    known: dict[str, tuple[str, str]] = {}
    for base in found.bases:
        if isinstance(base, ast.Name) and any(isinstance(each, ast.ClassDef) and each.name == base.id for each in tree.body):
            known |= attributes(f"{module}:{base.id}")
    known |= dict(_stated(found))
    known[""] = ("", _one_line(ast.get_docstring(found) or ""))
    return known


@cache
def _parsed(module: str) -> ast.Module:
    spec = find_spec(module)
    assert spec is not None, f"there is no module {module}"
    loader: _HasSource = spec.loader  # type: ignore[assignment]
    return ast.parse(loader.get_source(module) or "")


def _stated(found: ast.ClassDef) -> Iterator[tuple[str, tuple[str, str]]]:
    for i, statement in enumerate(found.body):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                following = found.body[i + 1] if i + 1 < len(found.body) else None
                match following:
                    case ast.Expr(value=ast.Constant(value=str() as words)):
                        yield name, (ast.unparse(annotation), _one_line(words))
                    case _:
                        yield name, (ast.unparse(annotation), "")
            case ast.FunctionDef(name=name, returns=returns) if returns is not None and statement.decorator_list:
                yield name, (ast.unparse(returns), _one_line(ast.get_docstring(statement) or ""))


def _one_line(words: str) -> str:
    return " ".join(cleandoc(words).partition("\n\n")[0].split())
