"""What all JSON documents share: one base class, numbers without NaN, and how they are written."""

from __future__ import annotations

import json
import math
from typing import Annotated, Any, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, TypeAdapter

SCHEMA_VERSION = "1"


def _null_unless_finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


Number: TypeAlias = Annotated[float | None, BeforeValidator(_null_unless_finite)]
"""A number, or null where there is none; never NaN or infinity, which JSON does not have."""
Setting: TypeAlias = Annotated[str | int | float | None, BeforeValidator(_null_unless_finite)]
"""A value of a setting."""


class Document(BaseModel):
    """A document, or an object inside one: a published schema, filled from the attributes of a result.

    Fields that are documents themselves are filled in the same manner, from the attributes of what they stand for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, from_attributes=True)

    @classmethod
    def of(cls, result: Any, /, **fields: Any) -> Self:
        """The document of a result.

        Arguments:
            result: has an attribute for each field that is not given by keyword.
            fields: those that it lacks, or that are told in another manner.
        """
        return cls(**{name: getattr(result, name) for name in cls.model_fields if name not in fields}, **fields)


def text(document: BaseModel) -> str:
    """A document as indented JSON that ends with a line feed; numbers at full precision."""
    return _as_json(document.model_dump(mode="json"))


def facts_text(facts: Any, *, command: str) -> str:
    """The fields of a dataclass as a JSON document, in the manner of :func:`text`."""
    plain = TypeAdapter(type(facts)).dump_python(facts, mode="json")
    return _as_json({"schema_version": SCHEMA_VERSION, "command": command, **without_nonfinite(plain)})


def without_nonfinite(value: Any) -> Any:
    """The same plain values with null in the place of what is not finite."""
    if isinstance(value, dict):
        return {key: without_nonfinite(part) for key, part in value.items()}
    if isinstance(value, list):
        return [without_nonfinite(part) for part in value]
    return _null_unless_finite(value)


def _as_json(value: Any) -> str:
    document = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # A file name that is no UTF-8 reaches Python with lone surrogates, which JSON can only hold as escapes.
    return document.encode(errors="backslashreplace").decode()
