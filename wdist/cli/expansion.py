"""Groups of options: a command takes a dataclass, and the command line shows its fields."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """The same command with each parameter whose type is a dataclass replaced by the fields of that dataclass.

    So options that several commands share are declared once, with their defaults, and arrive together; what the dataclass refuses
    when it is made is refused before the command begins.

    Arguments:
        command: its dataclasses have fields that typer understands, all with plain defaults.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Any] = {
        name: parameter.annotation for name, parameter in signature.parameters.items() if is_dataclass(parameter.annotation)
    }
    parameters = []
    for name, parameter in signature.parameters.items():
        parameters += _parameters_of(groups[name]) if name in groups else [_by_name(parameter)]

    @wraps(command)
    def with_fields(**values: Any) -> int:
        made = {name: group(**{each.name: values.pop(each.name) for each in fields(group)}) for name, group in groups.items()}
        return command(**values, **made)

    with_fields.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_fields


def _parameters_of(group: Any) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=_default(each), annotation=hints[each.name])
        for each in fields(group)
    ]


def _default(field: Field[Any]) -> Any:
    return inspect.Parameter.empty if field.default is MISSING else field.default


def _by_name(parameter: inspect.Parameter) -> inspect.Parameter:
    return parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
