"""A verdict for GitHub Actions: annotations that the page of a job shows, and outputs that its later steps read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.exports.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wdist.gates.gate import GateResult

_LEVELS = {"pass": "notice", "fail": "error", "inconclusive": "warning"}


def github_annotations(result: GateResult) -> str:
    """A line for each rule, which the page of a job shows: ``::error title=...::...`` and the like.

    References:
        GitHub Docs, Workflow commands for GitHub Actions.
    """
    lines = []
    for judged in result.judged:
        verdict = judged.verdict
        message = " ".join(filter(None, (verdict.reason, verdict.what_would_decide)))
        title = _property(f"wdist gate: {verdict.answer.value}")
        lines.append(f"::{_LEVELS[verdict.answer.value]} title={title}::{_data(message)}")
    return "\n".join(lines) + "\n"


def github_outputs(result: GateResult) -> str:
    """Lines ``name=value`` that later steps of a job read: verdict, on, lower, upper, confidence and reason; none spans lines."""
    interval = result.interval
    values = {
        "verdict": result.answer.value,
        "on": result.on,
        "lower": repr(interval.lower),
        "upper": "" if interval.upper is None else repr(interval.upper),
        "confidence": "" if result.confidence is None else repr(result.confidence),
        "reason": one_line(result.verdict.reason),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _data(text: str) -> str:
    return _escaped(text, {"%": "%25", "\r": "%0D", "\n": "%0A"})


def _property(text: str) -> str:
    return _escaped(text, {"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def _escaped(text: str, signs: Mapping[str, str]) -> str:
    return "".join(signs.get(character, character) for character in text)
