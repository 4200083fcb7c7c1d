"""Words for results: metrics, methods and units as a reader knows them, and sentences about all results but comparisons."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from wdist.data.sources.column import DATE
from wdist.drifts.changes import SHARE
from wdist.drifts.joint import date_of
from wdist.estimation.result import POWER
from wdist.report.numbers import at_least, at_most, counted, exactly, level, lower_bound, nearest, p_value, percentage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wdist.bounds.lipschitz.constant import LipschitzConstant
    from wdist.data.sources.source import SourceInfo
    from wdist.dependences.dependence import Dependence
    from wdist.drifts.changes import Change
    from wdist.drifts.columns import ColumnDrift
    from wdist.drifts.drift import Drift
    from wdist.estimation.divergence import Divergence, DivergenceOfPopulations
    from wdist.estimation.result import CriticResult, Detected, Estimate, PopulationBound
    from wdist.estimation.verification import Verification
    from wdist.gates.gate import GateResult
    from wdist.robustness.robust import Robustness
    from wdist.studies.study import StudyResult
    from wdist.transport.solution import Transport

METRICS = {"l2": "Euclidean metric", "l1": "L1 metric", "linf": "L-infinity metric"}
NORMS = {"l2": "the Euclidean norm", "linf": "the maximum norm"}
"""Norms of perturbations."""
METHODS = {
    "welch": "Welch's t, asymptotic",
    "empirical-bernstein": "empirical Bernstein",
    "betting": "betting",
    "cross-fitted": "Welch's t over folds, asymptotic",
    "permutations": "permutations",
}
"""Methods of confidence bounds and of tests."""
DIGITS = 5
"""Significant digits of the headline numbers."""
ESTIMANDS = {
    "population": "W1 of the populations",
    "samples": "W1 of the samples",
    "detected": "what the critic finds",
    "block": "mean W1 of blocks",
    "reference": "W1 from the samples of A to B",
}
"""The estimands, as rows of a table."""


def verdict(estimate: Estimate) -> str:
    """The conclusion of an estimate, in plain words."""
    samples, population = estimate.samples, estimate.population
    if estimate.digest_a is not None and estimate.digest_a == estimate.digest_b:
        return "A and B are the same samples: W1 is 0"
    confidence = f"with {level(population.confidence)} confidence"
    if population.contradictory and population.upper is not None:
        lower, upper = lower_bound(population.lower, DIGITS), at_most(population.upper, DIGITS)
        return f"One bound for the populations is wrong: W1 would be at least {lower} and at most {upper}, {confidence}"
    if population.lower > 0:
        return f"A and B differ: W1 is at least {lower_bound(population.lower, DIGITS)}, {confidence}{_tested(estimate.detected)}"
    best = max(estimate.critics, key=lambda critic: critic.population.lower)
    if best.population.lower > 0:  # all bounds for the populations hold together
        return f"A and B differ: W1 is at least {lower_bound(best.population.lower, DIGITS)}, {confidence}, by {best.name}"
    sentence = _not_proved(estimate.detected, population.upper)
    if population.upper is not None:
        return f"{sentence}; W1 is at most {at_most(population.upper, DIGITS)}, {confidence}"
    if samples.exact and samples.upper is not None:
        return f"{sentence}; the two sample sets are {nearest(samples.upper, DIGITS)} apart"
    return sentence


def _tested(detected: Detected | None) -> str:
    return "" if detected is None else f" ({p_value(detected.p_value)})"


def _not_proved(detected: Detected | None, upper: float | None) -> str:
    """The conclusion if no lower bound for the populations is above 0, from the test of the main critic's values."""
    if detected is None:
        return "No difference is proved at this sample size"
    if detected.significant:
        return f"A and B differ{_tested(detected)}, though the interval for the populations includes 0"
    sentence, power = f"No difference between the distributions is detected{_tested(detected)}", f"with {level(POWER)} power"
    if upper is not None and detected.detectable > upper:
        return f"{sentence}, but the samples are too few: {power}, this critic finds only differences above the upper bound"
    return f"{sentence}: this critic would have found one above {nearest(detected.detectable, 2)} {power}"


def chosen_by_folds(critic: CriticResult) -> str:
    """The kinds of critics that the folds chose, counted: ``3 groupsort-bjorck, 2 cones``; empty if all chose the same."""
    kinds = Counter(critic.fold_names)
    return ", ".join(f"{number} {name}" for name, number in kinds.most_common()) if len(kinds) > 1 else ""


def drift_headline(drift: Drift) -> str:
    """Whether two tables drifted, and in what, in plain words; after the verdict, if a limit is given."""
    if drift.verdict is not None:
        return f"{drift.verdict.answer.value.upper()}: {drift.verdict.reason.rstrip('.')}. {_changes(drift)}"
    return _changes(drift)


def _changes(drift: Drift) -> str:
    sure = f"with {level(drift.confidence)} confidence"
    if not drift.found:
        return f"No drift is found, {sure}: neither in a column, nor in the dependence of two columns, nor jointly"
    parts = []
    if drift.drifted:
        names = [column.name for column in drift.drifted]
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        parts.append(f"{len(names)} of {len(drift.columns)} columns ({shown})")
    if drift.changed:
        first = " and ".join(drift.changed[0].columns)
        more = "" if len(drift.changed) == 1 else f" and {len(drift.changed) - 1} more pairs"
        parts.append(f"the dependence of {first}{more}")
    if drift.jointly:
        parts.append("the joint distribution")
    sentence = parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
    return f"Drift, {sure}: {sentence}"


def shown_change(column: ColumnDrift, change: Change) -> tuple[str, str]:
    """A value of a column in the reference and in the current table: a date, a share as per cent, or a number."""
    if change.what.startswith(SHARE):
        return percentage(change.reference), percentage(change.current)
    if column.type == DATE:
        return date_of(change.reference).partition("T")[0], date_of(change.current).partition("T")[0]
    return nearest(change.reference), nearest(change.current)


def drift_sentences(drift: Drift) -> Iterator[str]:
    """What would decide an open verdict, the joint distance, and how to read the tables."""
    if drift.verdict is not None:
        yield from drift.verdict.suggestions
    apart = units(drift.reference, drift.current)
    yield f"Jointly: {intervals(drift.estimate)} ({p_value(drift.joint_p_value)}), {apart}."
    count = len(drift.columns)
    dates = ", for dates in days" if any(column.type == DATE for column in drift.columns) else ""
    hold = "The interval of the column holds" if count == 1 else f"The intervals of the {count} columns hold together"
    yield (
        f"All p-values are corrected for the number of columns or pairs and for the three tests: those up to "
        f"{level(1 - drift.confidence)} count as drift. {hold} at {level(drift.confidence)} confidence, asymptotically, in the "
        f"units of each column{dates}."
    )


def robust_headline(found: Robustness) -> str:
    """Both bounds for the error of a classifier; after the verdict, if a minimum is given."""
    lower, upper = (100 * count / found.count for count in (found.misled, found.uncertified))  # rounded once
    between = f"{nearest(lower)} %" if lower == upper else f"Between {at_least(lower)} % and {at_most(upper)} %"
    worst = f"the worst perturbations up to {exactly(found.eps)} in {NORMS[found.norm]}"
    sentence = f"{between} of {counted(found.count)} samples are misclassified under {worst}"
    return sentence if found.answer is None else f"{found.answer.value.upper()}: {found.reason}. {sentence}"


def dependence_headline(found: Dependence) -> str:
    """Whether columns depend on each other, and the bound for their distance from independence."""
    population, detected = found.population, found.detected
    pair, test = f"{_some_names(found.columns)} and {_some_names(found.with_)}", p_value(detected.p_value)
    sure = f"with {level(population.confidence)} confidence"
    if population.lower > 0:
        between = "between their joint distribution and the product of their marginal distributions"
        return f"{pair} depend on each other: W1 {between} is at least {lower_bound(population.lower, DIGITS)}, {sure} ({test})"
    upper = "" if population.upper is None else f"W1 is at most {at_most(population.upper, DIGITS)}, {sure}"
    if detected.significant:
        found_alone = f"{pair} depend on each other ({test}), though the interval for the populations includes 0"
        return found_alone + (upper and f"; {upper}")
    return f"No dependence between {pair} is detected ({test})" + (upper and f"; {upper}")


def _some_names(names: Sequence[str]) -> str:
    shown = [*names[:3], "..."] if len(names) > 4 else list(names)
    return shown[0] if len(shown) == 1 else f"({', '.join(shown)})"


def dependence_sentences(found: Dependence) -> Iterator[str]:
    """Sentences on how to read the intervals, and what they rest on."""
    detected, population = found.detected, found.population
    yield (
        f"W1 is the distance between the joint distribution and the product of the marginal distributions, {units(found.table)}: "
        f"0 only if the columns are independent. Its bounds hold together at {level(population.confidence)} confidence, "
        f"from {counted(population.n_a)} held-out rows and {counted(population.n_b)} recombined ones."
    )
    yield (
        f"The detected interval is about the critic and holds on its own, asymptotically; it recombines all "
        f"{counted(detected.rows)} held-out rows. The p-value is exact for any number of rows."
    )


def divergence_verdict(divergence: Divergence) -> str:
    """The conclusion about a divergence of the populations, in plain words."""
    population = divergence.population
    sentence = f"D, the Lipschitz-regularised KL divergence of A from B at lambda {exactly(divergence.lambda_)},"
    sure = f"with {level(population.confidence)} confidence"
    if population.lower > 0:
        least = f"at least {lower_bound(population.lower, DIGITS)} nats, {sure}"
        return f"{sentence} is {least}; so is the KL divergence itself, which is never smaller"
    if population.upper is not None:
        most = f"at most {at_most(population.upper, DIGITS)} nats, {sure}"
        return f"{sentence} is {most}; no lower bound above 0 is proved, and the KL divergence itself may be larger"
    return f"{sentence} is not proved to exceed 0 at this sample size"


def divergence_intervals(divergence: Divergence) -> str:
    """Both intervals of a divergence, on one line."""
    of, sure = f"D at lambda {exactly(divergence.lambda_)}", level(divergence.population.confidence)
    samples, population = (_interval(each.lower, each.upper, of=of) for each in (divergence.samples, divergence.population))
    return f"{samples} nats between the samples, {population} nats between the populations at {sure}"


def about_divergence(divergence: Divergence) -> str:
    """The definition of D, and the methods behind its bounds."""
    critic, population = divergence.critic, divergence.population
    return (
        f"D is the Kullback-Leibler divergence of A from B, in nats, with potentials of slope at most lambda = "
        f"{exactly(divergence.lambda_)} nats per unit of distance. It exceeds neither lambda W1 nor the divergence itself, so its "
        f"lower bounds hold for both and its upper bounds for D only. Its lower bound for the populations comes from "
        f"{critic.name}, trained for {critic.trained_for.upper()} and clipped to "
        f"{nearest(critic.low, 3)} to {nearest(critic.high, 3)} nats ({METHODS[population.method]}), "
        f"{held_out(population)}, and shares the error probability with the bounds for W1."
    )


def estimate_sentences(estimate: Estimate) -> Iterator[str]:
    """The verdict, then all intervals."""
    yield f"{verdict(estimate)}."
    yield f"{intervals(estimate)}."
    if estimate.divergence is not None:
        yield f"{divergence_verdict(estimate.divergence)}."


def intervals(estimate: Estimate) -> str:
    """All intervals, on one line."""
    samples, population = estimate.samples, estimate.population
    between = _interval(samples.lower, samples.upper, exact=samples.exact)
    return (
        f"{between} between {counted(samples.n_a)} and {counted(samples.n_b)} samples, "
        f"{_interval(population.lower, population.upper)} between the populations at {level(population.confidence)}"
        + ("" if estimate.detected is None else f"; {found_by_critic(estimate.detected)}")
    )


def found_by_critic(detected: Detected) -> str:
    """The interval of the value that the critic finds, whose upper end is no bound for W1."""
    ends = f"{at_least(detected.lower, DIGITS)} to {at_most(detected.upper, DIGITS)}"
    return f"the critic finds {ends} on fresh samples, at {level(detected.confidence)}"


def _interval(lower: float, upper: float | None, *, exact: bool = False, of: str = "W1") -> str:
    if upper is None:
        return f"{lower_bound(lower, DIGITS)} <= {of}"
    if exact:
        return f"{of} = {nearest(upper, DIGITS)}"
    return f"{lower_bound(lower, DIGITS)} <= {of} <= {at_most(upper, DIGITS)}"


def verification_line(verification: Verification) -> str:
    """Whether a proof holds, and what it proves."""
    failed = [finding.what for finding in verification.findings if not finding.ok]
    if failed:
        return f"Not proved: {', '.join(failed)}"
    also = verification.estimate.divergence
    return f"Proved again: {intervals(verification.estimate)}" + ("" if also is None else f"; {divergence_intervals(also)}")


def transport_line(found: Transport) -> str:
    """Both bounds, and the size of the plan."""
    plan = "an optimal plan" if found.exact else "a plan"
    moves = "1 move" if len(found.plan.mass) == 1 else f"{counted(len(found.plan.mass))} moves"
    ended = ", interrupted" if found.interrupted else ""
    return f"{_interval(found.lower, found.upper, exact=found.exact)}, by {plan} of {moves}{ended}"


def about_detected(detected: Detected) -> str:
    """Says which end of the detected interval bounds W1, and names the methods behind the interval and its p-value."""
    methods = METHODS[detected.method]
    if detected.p_value_method != detected.method and detected.method != "cross-fitted":
        methods += f"; p by {METHODS[detected.p_value_method]}"
    return (
        f"The detected interval is about the critic and holds on its own ({methods}): its lower end also bounds W1 of the "
        f"populations from below, its upper end is not a bound of W1."
    )


def held_out(population: PopulationBound | DivergenceOfPopulations) -> str:
    """The samples that the bounds for the distributions rest on: ``from 150 held-out samples of A and 149 of B``."""
    return f"from {counted(population.n_a)} held-out samples of A and {counted(population.n_b)} of B"


def units(*sources: SourceInfo) -> str:
    """Units of the distances between some sources."""
    words = list(dict.fromkeys(_units_in_words(info) for info in sources))
    if len(words) == 1:
        return words[0]
    return ", ".join(f"{name} {word}" for name, word in zip("AB", words, strict=True))


def _units_in_words(info: SourceInfo) -> str:
    if info.units in ("as stored", ""):
        return "in the units of the data"
    return f"in the units {info.units}" if info.units.startswith("of ") else f"values {info.units}"


def lipschitz_headline(found: LipschitzConstant) -> str:
    """The interval."""
    if found.upper is None:
        return f"The Lipschitz constant is at least {at_least(found.lower)} ({found.norm}); no upper bound is proved"
    return f"The Lipschitz constant lies between {at_least(found.lower)} and {at_most(found.upper)} ({found.norm})"


def lipschitz_sentences(found: LipschitzConstant) -> Iterator[str]:
    """The evidence for both ends, and the slopes at points."""
    if found.obstacle is not None:
        yield f"No upper bound: {found.obstacle}."
    if found.upper is not None:
        search = "found by a search" + (" that was cut short" if found.interrupted else "")
        yield f"The upper bound is proved for all inputs; the lower bound is the steepest slope {search}."
    local = found.local
    if local is None:
        return
    where = f"within {exactly(local.radius)} of" if local.radius else "at"
    points = f"{counted(local.count)} points of {local.points}" if local.count > 1 else f"the point of {local.points}"
    if local.upper is None or local.median is None:
        yield f"The steepest slope found {where} {points} is {at_least(local.lower)}."
        return
    yield (
        f"Slopes {where} {points} are at most {at_most(local.upper)}, with a median bound of {at_most(local.median)}; "
        f"the steepest found is {at_least(local.lower)}."
    )


def marks(result: GateResult) -> Iterator[tuple[str, float, str]]:
    """Label, value and shown number of each limit."""
    for judged in result.judged:
        limits, before = judged.rule.limits, judged.rule.before
        if (estimated := getattr(judged.rule, "within", None)) is not None:
            label = "maximum" if judged.rule.before is None else "baseline and tolerance"
            yield f"{label}, estimated", estimated, nearest(estimated)
            continue
        if before is None and limits.fails_above is not None:
            yield "maximum", limits.fails_above, exactly(limits.fails_above)
            continue
        if limits.passes_within is not None:
            yield "baseline, passes within", limits.passes_within, at_least(limits.passes_within)
        if limits.fails_above is not None:
            yield "baseline, fails above", limits.fails_above, at_most(limits.fails_above)


def study_headline(result: StudyResult) -> str:
    """The study, its number of rows, and how many of its claims hold."""
    checks = result.conclusion.checks
    held = f"; {sum(check.holds for check in checks)} of {len(checks)} claims hold" if checks else ""
    return f"{result.study.name}: {result.study.title}, {counted(len(result.rows))} rows{held}"


def study_sentences(result: StudyResult) -> Iterator[str]:
    """The claims that were checked, each with what was measured."""
    for check in result.conclusion.checks:
        yield f"{check.claim.rstrip('.')}: {'holds' if check.holds else 'does not hold'} ({check.detail})."
