"""A verdict for machines that run jobs: annotations and outputs of GitHub Actions, and the test report that JUnit made common."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wdist.gating.gate import GateResult

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
        "reason": _one_line(result.verdict.reason),
    }
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _data(text: str) -> str:
    return _escaped(text, {"%": "%25", "\r": "%0D", "\n": "%0A"})


def _property(text: str) -> str:
    return _escaped(text, {"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"})


def _escaped(text: str, signs: Mapping[str, str]) -> str:
    return "".join(signs.get(character, character) for character in text)


def _one_line(text: str) -> str:
    """Without characters that end a line, or that XML does not allow."""
    return "".join(character if character.isprintable() else " " for character in text)


def junit(result: GateResult, *, accept_inconclusive: bool = False) -> str:
    """A test report: a case for each rule; one that is not decided is an error, or skipped where that is accepted.

    Arguments:
        result: the verdict.
        accept_inconclusive: whether an open question is no error.
    """
    estimate, answers = result.estimate, [judged.verdict.answer.value for judged in result.judged]
    counts = {
        "tests": len(answers),
        "failures": answers.count("fail"),
        "errors": 0 if accept_inconclusive else answers.count("inconclusive"),
        "skipped": answers.count("inconclusive") if accept_inconclusive else 0,
    }
    attributes = {"name": "wdist gate", **{name: str(count) for name, count in counts.items()}, "time": f"{estimate.seconds:.3f}"}
    suites = ElementTree.Element("testsuites", attributes)
    suite = ElementTree.SubElement(suites, "testsuite", attributes)
    for judged in result.judged:
        verdict, sides = judged.verdict, f"{estimate.b.address} against {estimate.a.address}"
        name = f"{judged.rule.wish}, {result.on}: {sides}"
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": "wdist.gate", "name": _one_line(name), "time": f"{estimate.seconds:.3f}"}
        )
        message = _one_line(" ".join(filter(None, (verdict.reason, verdict.what_would_decide))))
        kind = verdict.answer.value
        if kind == "fail":
            ElementTree.SubElement(case, "failure", {"type": kind, "message": message})
        elif kind == "inconclusive":
            tag = "skipped" if accept_inconclusive else "error"
            ElementTree.SubElement(case, tag, {"type": kind, "message": message})
        ElementTree.SubElement(case, "system-out").text = message
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
