"""Groups of options: a command takes one object, and the command line shows its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Annotated, Any, Protocol, get_args, get_origin, get_type_hints


class Group(Protocol):
    """Options that a command takes as one object: stands in ``Annotated[Class, group]``."""

    def parameters(self) -> Sequence[inspect.Parameter]:
        """The options, as keyword-only parameters that typer understands."""
        ...

    def made(self, **values: Any) -> Any:
        """The object, from the values of the options.

        Raises:
            UsageError: they make no sense together.
        """
        ...


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """Replaces each parameter of a command that stands for a group of options by those options.

    So options that several commands share are declared once, with their defaults, and arrive together; what a group refuses is
    refused before the command begins.

    Arguments:
        command: annotated with dataclasses, whose fields are options, or with ``Annotated[Class, group]``.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, Group] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        group = _group(parameter.annotation)
        if group is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
        else:
            groups[name] = group
            parameters += group.parameters()

    @wraps(command)
    def with_options(**values: Any) -> int:
        made = {
            name: group.made(**{each.name: values.pop(each.name) for each in group.parameters()}) for name, group in groups.items()
        }
        return command(**values, **made)

    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_options


def _group(annotation: Any) -> Group | None:
    if is_dataclass(annotation):
        return _Fields(annotation)
    if get_origin(annotation) is Annotated:
        return next((each for each in get_args(annotation)[1:] if hasattr(each, "parameters") and hasattr(each, "made")), None)
    return None


class _Fields:
    """The fields of a dataclass as options."""

    def __init__(self, group: Any) -> None:
        self._group = group

    def parameters(self) -> list[inspect.Parameter]:
        hints = get_type_hints(self._group, include_extras=True)
        return [
            inspect.Parameter(
                each.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=inspect.Parameter.empty if each.default is MISSING else each.default,
                annotation=hints[each.name],
            )
            for each in fields(self._group)
        ]

    def made(self, **values: Any) -> Any:
        return self._group(**values)
