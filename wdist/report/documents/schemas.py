"""Published JSON schemas of the documents of all commands."""

import json

from pydantic import BaseModel

from wdist.report.documents.forms import FORMS, PUBLISHED

COMMANDS = tuple(PUBLISHED)
"""Commands with a published schema."""


def model(command: str) -> type[BaseModel]:
    """Pydantic model that validates the documents of a command, one of :data:`COMMANDS`."""
    return FORMS.model(PUBLISHED[command])


def schema(command: str = "estimate") -> str:
    """JSON schema of the documents of a command, one of :data:`COMMANDS`, as indented JSON."""
    return json.dumps(model(command).model_json_schema(mode="serialization"), indent=2) + "\n"
