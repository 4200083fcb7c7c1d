"""The published schemas: what scripts may rely on of each command's document."""

import json

from pydantic import BaseModel

from wdist.report.bench_document import BenchDocument
from wdist.report.comparison_document import ComparisonDocument
from wdist.report.document import EstimateDocument, VerificationDocument
from wdist.report.gan_document import GanDocument
from wdist.report.gate_document import GateDocument
from wdist.report.reproduction_document import ReproductionDocument

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
