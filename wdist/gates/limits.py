"""Limits of a gate, as the user states them: a maximum, a maximum for the lower bound, or growth since an earlier result."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from wdist.arguments import check_fields
from wdist.errors import UsageError

On: TypeAlias = Literal["population", "samples", "detected", "block", "reference"]
"""The estimand that is judged: W1 of the distributions or of the two sample sets, what the critic finds on fresh samples, the mean
W1 between few samples of each side, or W1 from the samples of A to the distribution of B."""
Asked: TypeAlias = Literal["max", "max-lower", "baseline"]
"""Option of the command line that sets a rule, without its dashes."""
TOLERANCE = 0.05
"""Default fraction by which W1 may have grown since the baseline."""


@dataclass(frozen=True, kw_only=True)
class AboveReference:
    """A limit relative to the reference against itself, for distances between blocks."""

    share: float = 0.0
    """Fraction of the reference's own mean distance that may be added."""
    deviations: float = 0.0
    """Number of standard deviations, of the distance between two blocks of the reference, that may be added."""

    def __str__(self) -> str:
        return f"{self.deviations:g}sd" if self.deviations else f"reference+{100 * self.share:g}%"

    @property
    def words(self) -> str:
        """The limit in words."""
        added = f"{self.deviations:g} standard deviations" if self.deviations else f"{100 * self.share:g} %"
        return f"{added} above the reference against itself"


def read_maximum(words: str) -> float | AboveReference:
    """Reads ``1.5``, ``reference+10%`` or ``3sd``; UsageError if the text has another form."""
    match = re.fullmatch(r"\s*(?:reference\s*\+\s*(\d+\.?\d*|\.\d+)\s*%|(\d+\.?\d*|\.\d+)\s*sd)\s*", words)
    if match is not None and (float(match[1] or 1) and float(match[2] or 1)):
        return AboveReference(share=float(match[1]) / 100) if match[1] else AboveReference(deviations=float(match[2]))
    try:
        return float(words)
    except ValueError:
        raise UsageError(
            f"--max {words!r} is not a limit; write a distance, such as --max 1.5, or, for distances between blocks, "
            f"--max reference+10% or --max 3sd"
        ) from None


def maximum_of(words: str | None) -> float | str | None:
    """A maximum as :class:`GateLimits` takes it: a number or, if it is relative to the reference, the words themselves."""
    limit = None if words is None else read_maximum(words)
    return words if isinstance(limit, AboveReference) else limit


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """Limits that a gate compares W1 with, validated when made."""

    maximum: float | str | None = None
    """Passes if the upper bound is at most this, fails if the lower bound exceeds it; for blocks also ``reference+10%`` or ``3sd``,
    which is relative to the reference against itself."""
    max_lower: float | None = None
    """Fails if the lower bound exceeds this and proves nothing otherwise; cheaper, because no upper bound is computed."""
    baseline: str | Path | None = None
    """JSON document of an earlier result for the same reference, with which W1 is compared."""
    tolerance: float | None = None
    """Fraction by which W1 may have grown since the baseline; None for :data:`TOLERANCE`."""
    on: On = "population"
    """Estimand that is judged."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.on not in get_args(On):
            raise UsageError(
                f"--on {self.on} is unknown; write --on {', --on '.join(get_args(On)[:-1])} or --on {get_args(On)[-1]}"
            )
        if self.tolerance is not None and self.baseline is None:
            raise UsageError("--tolerance is how much W1 may have grown since --baseline; name a baseline, or leave it out")
        if self.max_lower is not None and (self.maximum is not None or self.baseline is not None):
            other = "--max" if self.maximum is not None else "--baseline"
            raise UsageError(f"--max-lower computes no upper bound, which {other} needs to pass; give one of the two")
        if self.maximum is None and self.max_lower is None and self.baseline is None:
            raise UsageError("there is no limit to check; give --max T, --max-lower T or --baseline FILE")
        limit = self.limit
        if isinstance(self.maximum, str) and isinstance(limit, float):
            raise UsageError(f"maximum must be a number, reference+10% or 3sd, not {self.maximum!r}")
        if isinstance(limit, AboveReference) and self.on != "block":
            raise UsageError(
                f"--max {limit} is relative to the reference against itself, which is measured between blocks of few samples; add "
                f"--on block, or give a distance in the units of the data, such as --max 1.5"
            )
        check_distance("--max", None if isinstance(limit, AboveReference) else limit)
        if self.max_lower is not None and self.on == "block":
            raise UsageError("--max-lower saves the upper bound, but distances between blocks have both; give --max instead")
        check_distance("--max-lower", self.max_lower)
        check_tolerance(self.tolerance)

    @property
    def limit(self) -> float | AboveReference | None:
        """The maximum as a number or as a limit relative to the reference."""
        return read_maximum(self.maximum) if isinstance(self.maximum, str) else self.maximum


def check_distance(option: str, value: float | None) -> None:
    """Makes sure that the value of an option is a distance, if it is given."""
    if value is not None and not 0 <= value < math.inf:
        raise UsageError(
            f"{option} is a distance in the units of the data, a number of at least 0, not {value:g}; write {option} 1.5"
        )


def check_tolerance(value: float | None) -> None:
    """Makes sure that a tolerance is a fraction of at least 0, if it is given."""
    if value is not None and not 0 <= value < math.inf:
        raise UsageError(f"--tolerance is a fraction of at least 0, such as 5% or 0.05, not {value:g}; write --tolerance 5%")
