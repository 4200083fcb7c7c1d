"""Limits of a gate, as they are shown beside what is proved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.numbers import at_least, at_most, exactly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wdist.gates.gate import GateResult

NAMES = {"population": "populations", "samples": "samples"}
"""The two estimands, in a table."""


def marks(result: GateResult) -> Iterator[tuple[str, float, str]]:
    """Label, value and shown number of each limit."""
    for judged in result.judged:
        limits, before = judged.rule.limits, judged.rule.before
        if before is None and limits.fails_above is not None:
            yield "maximum", limits.fails_above, exactly(limits.fails_above)
            continue
        if limits.passes_within is not None:
            yield "baseline, passes within", limits.passes_within, at_least(limits.passes_within)
        if limits.fails_above is not None:
            yield "baseline, fails above", limits.fails_above, at_most(limits.fails_above)
