"""A statement that measurements are held against: of the paper, or of this project itself."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A sentence, and whether it held."""

    claim: str
    holds: bool
    detail: str
    """What was found, with its number."""
