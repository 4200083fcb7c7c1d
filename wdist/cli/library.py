"""Temporary adapters to the library functions of today, until run_estimate, run_comparison and run_gate exist."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

from wdist.errors import UsageError
from wdist.estimation.options import EstimateOptions
from wdist.gate.rules import check_asked, check_distance, check_tolerance


def _arguments(options: EstimateOptions, *left_out: str) -> dict[str, Any]:
    arguments = {each.name: getattr(options, each.name) for each in fields(options) if each.name not in left_out}
    for name in ("critics", "baselines"):
        if isinstance(arguments.get(name), tuple):
            arguments[name] = list(arguments[name])
    return arguments


def run_estimate(
    a: Any, b: Any, options: EstimateOptions, *, observer: Any = None, truth: Any = None, command: str = "estimate"
) -> Any:
    """Temporary."""
    from wdist.estimation.estimate import estimate

    return estimate(a, b, **_arguments(options), observer=observer, truth=truth, command=command)


def run_comparison(
    reference: Any, sources: Any, options: EstimateOptions, *, names: Any = None, witnesses: int = 0, observer: Any = None
) -> Any:
    """Temporary."""
    from wdist.comparison.compare import compare

    arguments = _arguments(options, "critics", "baselines", "repeats", "tolerance", "couplings")
    return compare(reference, sources, **arguments, names=names, witnesses=witnesses, observer=observer)


@dataclass(frozen=True, kw_only=True)
class GateLimits:
    """Temporary."""

    maximum: float | None = None
    max_lower: float | None = None
    baseline: Any = None
    tolerance: float | None = None
    on: Literal["population", "samples"] = "population"

    def __post_init__(self) -> None:
        check_asked(maximum=self.maximum, max_lower=self.max_lower, baseline=self.baseline is not None, tolerance=self.tolerance)
        for option, value in (("--max", self.maximum), ("--max-lower", self.max_lower)):
            if value is not None:
                check_distance(option, value)
        if self.tolerance is not None:
            check_tolerance(self.tolerance)
        if self.on not in ("population", "samples"):
            raise UsageError(f"--on {self.on} is unknown; write --on population or --on samples")
        assert self.tolerance is None or not math.isnan(self.tolerance)


def run_gate(a: Any, b: Any, options: EstimateOptions, limits: GateLimits, *, observer: Any = None) -> Any:
    """Temporary."""
    from wdist.gate.gate import gate

    return gate(a, b, **vars(limits), observer=observer, **_arguments(options, "repeats", "tolerance", "couplings"))
