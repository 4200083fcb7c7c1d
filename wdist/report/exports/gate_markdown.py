"""A verdict as Markdown, for the summary of a job."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.gate_limits import NAMES, marks
from wdist.report.names import METRICS
from wdist.report.numbers import at_most, certificate, counted, duration, level, lower_bound, nearest

if TYPE_CHECKING:
    from wdist.data.sources.source import SourceInfo
    from wdist.gates.gate import GateResult


def gate_markdown(result: GateResult) -> str:
    """A heading, the reason, what would decide, and a table; ends with a line feed."""
    verdict, estimate = result.verdict, result.estimate
    lines = [f"### wdist gate: {result.answer.value}", "", _plain(verdict.reason), ""]
    if verdict.what_would_decide is not None:
        lines += [f"*{_plain(verdict.what_would_decide)}*", ""]
    lines += ["| | |", "|---|---|", f"| A, the reference | {_source(estimate.a)} |", f"| B | {_source(estimate.b)} |"]
    for on in ("population", "samples"):
        judged = " (judged)" if result.on == on else ""
        lines.append(f"| W1 of the {NAMES[on]}{judged} | {_interval(result, on)} |")
    for label, _, shown in marks(result):
        lines.append(f"| {label} | {shown} |")
    if result.recorded is not None:
        lines.append(f"| baseline | {_code(result.recorded.document)}: {_code(result.recorded.source)} |")
    critic, environment = estimate.critic, estimate.environment
    metric = METRICS.get(estimate.metric, estimate.metric)
    if estimate.features is not None:
        metric += f", between features {_code(estimate.features.spec)}"
    lines += [
        f"| metric | {metric} |",
        f"| critic | {critic.name}, K ≤ {certificate(critic.lipschitz_bound)}, {critic.steps} steps |",
        f"| run | seed {estimate.seed}, {_plain(environment.device)}, wdist {environment.wdist}, {duration(estimate.seconds)} |",
    ]
    lines += [f"\n> {_plain(warning)}" for warning in estimate.warnings]
    return "\n".join(lines) + "\n"


def _interval(result: GateResult, on: str) -> str:
    if on == "samples":
        found = result.estimate.samples
        lower, upper, surely = found.lower, found.upper, "for certain"
    else:
        bound = result.estimate.population
        lower, upper, surely = (
            bound.lower,
            bound.upper,
            f"at {level(bound.confidence)}; held-out estimate {nearest(bound.estimate)}",
        )
    known = f"{lower_bound(lower)} ≤ W1" + ("" if upper is None else f" ≤ {at_most(upper)}")
    return f"{known}, {surely}"


def _source(info: SourceInfo) -> str:
    amount = "endless draws" if info.count is None else f"{counted(info.count)} samples"
    return f"{_code(info.address)}, {amount}"


def _code(text: str) -> str:
    """As code in a cell of a table, whatever is in it."""
    return "`" + _plain(text).replace("`", "'") + "`"


def _plain(text: str) -> str:
    """On one line, with nothing that would end a cell or hide from the eye."""
    shown = "".join(character if character.isprintable() else " " for character in text)
    return shown.replace("|", "\\|").replace("<", "&lt;") if "|" in shown or "<" in shown else shown
