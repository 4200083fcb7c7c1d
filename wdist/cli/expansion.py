"""Groups of options: a command takes one object, and the command line shows its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, get_args, get_origin, get_type_hints


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """Replaces each parameter of a command that stands for a group of options by those options.

    So options that several commands share are declared once, with their defaults, and arrive together; what a group refuses is
    refused before the command begins.

    Arguments:
        command: annotated with dataclasses, whose fields are options, or with ``Annotated[Class, group]``, where
            ``group.parameters()`` are the options and ``group.made(**values)`` is the object.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, tuple[list[inspect.Parameter], Callable[..., Any]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
        group = next((each for each in marks if hasattr(each, "parameters") and hasattr(each, "made")), None)
        if is_dataclass(annotation):
            groups[name] = _fields_as_options(annotation), annotation  # type: ignore[assignment]
        elif group is not None:
            groups[name] = group.parameters(), group.made
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        parameters += groups[name][0]

    @wraps(command)
    def with_options(**values: Any) -> int:
        made = {name: make(**{each.name: values.pop(each.name) for each in options}) for name, (options, make) in groups.items()}
        return command(**values, **made)

    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_options


def _fields_as_options(group: Any) -> list[inspect.Parameter]:
    """Options of a dataclass, each declared in the annotation of a field or in its metadata."""
    hints, options = get_type_hints(group, include_extras=True), []
    for each in fields(group):
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        hint = Annotated[hints[each.name], each.metadata["option"]] if each.metadata else hints[each.name]
        options.append(inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    return options
