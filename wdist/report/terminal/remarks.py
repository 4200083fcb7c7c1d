"""The dim lines below an estimate: how to read its tables, how the critic was built, what the sources noted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from wdist.report.numbers import duration, level

if TYPE_CHECKING:
    from wdist.estimation.result import CriticResult, Estimate


def remarks(estimate: Estimate) -> list[Text]:
    """How to read the table, how the critic was built, and what the sources noted; dim, a line or two each."""
    population = estimate.population
    reading = "K is the certificate, the critic's Lipschitz constant from above; every bound is divided by it."
    # After Ctrl-C fewer are shown than share the error.
    shown = min(1 + len(estimate.baselines) + (population.upper is not None), population.jointly_with)
    if shown > 1:
        bounds = "lower bounds" if population.upper is None else "bounds"
        reading += f" The {shown} {bounds} for the populations hold together at {level(population.confidence)}."
    if estimate.samples.upper is not None:
        reading += " Full bars reach the " + ("exact value." if estimate.samples.exact else "upper bound.")
    if estimate.tightness is not None:
        reading += " Tightness is the held-out estimate over the truth."
    if any(not critic.bound_by_construction for critic in estimate.critics):
        reading += (
            " Where nothing constrains a critic, its raw value is no bound: a slope above 1 that was found shows it too large, "
            "and only the division by K makes it valid."
        )
    repeats = max((critic.repeats for critic in estimate.critics if critic.repeats), key=lambda each: len(each.seeds), default=None)
    if repeats is not None:
        reading += (
            f" ± is the standard deviation over {len(repeats.seeds)} seeds on this one split; all values are those of seed "
            f"{repeats.seeds[0]}, the first."
        )
    settings = ", ".join(
        f"{name.replace('_', ' ')} {_setting(value)}" for name, value in estimate.critic.settings.items() if value is not None
    )
    lines = [
        Text(reading, style="dim"),
        Text(f"{estimate.critic.name}: {_choice(estimate.critic)}{settings}; {_course(estimate.critic)}.", style="dim"),
        Text(f"seed {estimate.seed}, {estimate.environment.device}, {duration(estimate.seconds)} in all.", style="dim"),
    ]
    cut_short = [baseline.name for baseline in estimate.baselines if baseline.interrupted]
    if cut_short:
        lines.insert(2, Text(f"{', '.join(cut_short)}: interrupted, before the budget was spent.", style="dim"))
    for side, info in (("A", estimate.a), ("B", estimate.b)):
        lines += [Text(f"{side}: {note}", style="dim") for note in info.notes]
    return lines


def _choice(critic: CriticResult) -> str:
    if not critic.tried:
        return ""
    return f"chosen after {duration(sum(attempt.seconds for attempt in critic.tried))} of trying; "


def _setting(value: str | float | int) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _course(critic: CriticResult) -> str:
    if critic.interrupted:
        return "interrupted"
    if critic.steps == 0:
        return "follows from a formula"
    if critic.samples.gap == 0:
        return "nothing is left to gain"
    return "converged" if critic.converged else "still rising when the budget ended, so a longer --budget may tighten the bound"
