"""A verdict as the test report that JUnit made common."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

from wdist.report.exports.printable import one_line

if TYPE_CHECKING:
    from wdist.gates.gate import GateResult


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
        name = f"{judged.rule.requirement}, {result.on}: {sides}"
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": "wdist.gate", "name": one_line(name), "time": f"{estimate.seconds:.3f}"}
        )
        message = one_line(" ".join(filter(None, (verdict.reason, verdict.what_would_decide))))
        kind = verdict.answer.value
        if kind == "fail":
            ElementTree.SubElement(case, "failure", {"type": kind, "message": message})
        elif kind == "inconclusive":
            tag = "skipped" if accept_inconclusive else "error"
            ElementTree.SubElement(case, tag, {"type": kind, "message": message})
        ElementTree.SubElement(case, "system-out").text = message
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
