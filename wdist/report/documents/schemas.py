"""The published schemas: what scripts may rely on of each command's document."""

import json

from pydantic import BaseModel

from wdist.report.documents.comparison import ComparisonDocument
from wdist.report.documents.estimate import EstimateDocument
from wdist.report.documents.gan import GanDocument
from wdist.report.documents.gate import GateDocument
from wdist.report.documents.study import BenchDocument, ReproductionDocument
from wdist.report.documents.verification import VerificationDocument

DOCUMENTS: dict[str, type[BaseModel]] = {
    "estimate": EstimateDocument,
    "synthetic": EstimateDocument,
    "compare": ComparisonDocument,
    "gate": GateDocument,
    "gan": GanDocument,
    "verify": VerificationDocument,
    "reproduce": ReproductionDocument,
    "bench": BenchDocument,
}
"""What each command gives that has a published schema."""


def schema(command: str = "estimate") -> str:
    """The JSON schema of the document that a command gives, one of :data:`DOCUMENTS`, as indented JSON."""
    return json.dumps(DOCUMENTS[command].model_json_schema(mode="serialization"), indent=2) + "\n"
