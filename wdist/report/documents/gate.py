"""Verdicts as files: Markdown for the summary of a job, GitHub annotations and outputs, and a JUnit test report."""

from collections.abc import Iterator
from xml.etree import ElementTree

from wdist.data.sources.source import SourceInfo
from wdist.gates.gate import GateResult
from wdist.gates.verdict import Verdict
from wdist.report.documents.markdown import code, escaped, one_line, row
from wdist.report.numbers import at_least, at_most, certificate, counted, counted_as, duration, level, lower_bound, nearest
from wdist.report.sentences import ESTIMANDS, METRICS, chosen_by_folds, marks, units

_LEVELS = {"pass": "notice", "fail": "error", "inconclusive": "warning"}
_DATA = str.maketrans({"%": "%25", "\r": "%0D", "\n": "%0A"})
_PROPERTY = _DATA | str.maketrans({":": "%3A", ",": "%2C"})
"""Escapes in the text and in the title of an annotation."""


def gate_markdown(result: GateResult) -> str:
    """A heading, the reason, suggestions and a table, for the summary of a job; ends with a line feed."""
    verdict = result.verdict
    lines = [f"### wdist gate: {result.answer.value}", "", escaped(verdict.reason), ""]
    if verdict.what_would_decide is not None:
        lines += [f"*{escaped(verdict.what_would_decide)}*", ""]
    lines += ["| | |", "|---|---|", *(row(fact) for fact in _facts(result))]
    lines += [f"\n> {escaped(warning)}" for warning in result.estimate.warnings]
    return "\n".join(lines) + "\n"


def _facts(result: GateResult) -> Iterator[tuple[str, str]]:
    """Label and value of each row of the table."""
    estimate, recorded = result.estimate, result.recorded
    yield "A, the reference", _source(estimate.a)
    yield "B", _source(estimate.b)
    if result.looks:
        sure = f"at {level(result.confidence or 0.0)}, {counted(result.looks[-1].samples)} samples a side"
        ends = f"{at_least(result.interval.lower)} to {at_most(result.interval.upper or 0.0)}"
        yield "what critics find on later samples (judged)", f"{ends}, {sure}; not an upper bound of W1"
    for on in ESTIMANDS:
        judged = " (judged)" if result.on == on else ""
        if getattr(estimate, "semi_discrete" if on == "reference" else on) is not None:
            yield f"{ESTIMANDS[on]}{judged}", _interval(result, on)
    yield from ((label, shown) for label, _, shown in marks(result))
    if recorded is not None:
        yield "baseline", f"{code(recorded.document, cell=True)}: {code(recorded.source, cell=True)}"
    critic, environment, features = estimate.critic, estimate.environment, estimate.features
    space = "" if features is None else f", between features {code(features.spec, cell=True)}"
    yield "metric", f"{METRICS[estimate.metric]}, {units(estimate.a, estimate.b)}{space}"
    name = chosen_by_folds(critic) or critic.name
    yield "critic", f"{name}, K ≤ {certificate(critic.lipschitz_bound)}, {critic.steps} steps"
    device = escaped(environment.device)
    yield "run", f"seed {estimate.seed}, {device}, wdist {environment.wdist}, {duration(estimate.seconds)}"


def _interval(result: GateResult, on: str) -> str:
    estimate = result.estimate
    if on == "detected" and (detected := estimate.detected) is not None:
        low, high = detected.one_sided if result.on == on else (detected.lower, detected.upper)
        each = "each " if result.on == on and result.interval.one_sided else ""
        return f"{at_least(low)} to {at_most(high)}, {each}at {level(detected.confidence)}; not an upper bound of W1"
    if on == "block" and (block := estimate.block) is not None:
        ends = f"{at_least(block.lower)} to {at_most(block.upper)}, at {level(block.confidence)}"
        return f"{ends}; of {counted_as(block.size, 'sample')} a side, {nearest(block.within_a)} within A"
    if on == "reference" and (found := estimate.semi_discrete) is not None:
        return _bounds(found.lower, found.upper, f"at {level(found.confidence)}")
    if on == "samples":
        return _bounds(estimate.samples.lower, estimate.samples.upper, "certain")
    population = estimate.population
    sure = f"at {level(population.confidence)}; held-out estimate {nearest(population.estimate)}"
    return _bounds(population.lower, population.upper, sure)


def _bounds(lower: float, upper: float | None, sure: str) -> str:
    return f"{lower_bound(lower)} ≤ W1" + ("" if upper is None else f" ≤ {at_most(upper)}") + f", {sure}"


def _source(info: SourceInfo) -> str:
    amount = "endless draws" if info.count is None else f"{counted(info.count)} samples"
    return f"{code(info.address, cell=True)}, {amount}"


def _message(verdict: Verdict) -> str:
    return " ".join(filter(None, (verdict.reason, verdict.what_would_decide)))


def github_annotations(result: GateResult) -> str:
    """One annotation for each rule, shown on the page of a job: ``::error title=...::...``.

    References:
        GitHub Docs, Workflow commands for GitHub Actions.
    """
    lines = []
    for judged in result.judged:
        verdict = judged.verdict
        title = f"wdist gate: {verdict.answer.value}".translate(_PROPERTY)
        lines.append(f"::{_LEVELS[verdict.answer.value]} title={title}::{_message(verdict).translate(_DATA)}")
    return "\n".join(lines) + "\n"


def github_outputs(result: GateResult) -> str:
    """Lines ``name=value`` that later steps of a job read: verdict, on, lower, upper, confidence and reason."""
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


def junit(result: GateResult, *, accept_inconclusive: bool = False) -> str:
    """A test report with one case for each rule; an undecided rule is an error, or is skipped if ``accept_inconclusive``."""
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
            suite, "testcase", {"classname": "wdist.gates", "name": one_line(name), "time": f"{estimate.seconds:.3f}"}
        )
        message, kind = one_line(_message(verdict)), verdict.answer.value
        if kind != "pass":
            tag = "failure" if kind == "fail" else "skipped" if accept_inconclusive else "error"
            ElementTree.SubElement(case, tag, {"type": kind, "message": message})
        ElementTree.SubElement(case, "system-out").text = message
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"
