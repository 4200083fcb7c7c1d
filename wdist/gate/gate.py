"""``gate``: a verdict on two sources, from one estimate and what is asked of it."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, FiniteSource, Source
from wdist.data.survey import survey
from wdist.errors import UsageError
from wdist.estimation.estimate import estimate
from wdist.estimation.result import Estimate
from wdist.estimation.transport_bounds import SHORT_OF_MEMORY
from wdist.gate.baseline import Recorded, read_recorded
from wdist.gate.rules import (
    Answer,
    Interval,
    LowerMaximum,
    Maximum,
    NoWorse,
    On,
    Rule,
    check_asked,
    is_asymptotic,
    joint_confidence,
)
from wdist.gate.verdict import Verdict, judge, together
from wdist.training.budget import Budget
from wdist.training.observer import Observer, Silent, Stage

TOLERANCE = 0.05
"""The default of ``--tolerance``: the share by which W1 may have grown."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A rule with its verdict."""

    rule: Rule
    verdict: Verdict


@dataclass(frozen=True, kw_only=True)
class GateResult:
    """The answer to one ``wdist gate``."""

    verdict: Verdict
    """The verdict on all rules together."""
    judged: tuple[Judged, ...]
    on: On
    interval: Interval
    """The interval that was judged."""
    confidence: float | None
    """The confidence of the verdict; None where it is certain."""
    estimate: Estimate
    recorded: Recorded | None
    """The earlier result, if one of the rules compares with it."""
    timed: bool
    """Whether the training was limited by time, in which case another run gives other digits."""

    @property
    def answer(self) -> Answer:
        """Pass, fail or inconclusive."""
        return self.verdict.answer

    @property
    def repeatable(self) -> bool:
        """Whether the same inputs and seed give these digits again on this machine; a GPU adds up in any order."""
        on_cpu = self.estimate.environment.device.startswith("cpu")
        return not self.timed and on_cpu and SHORT_OF_MEMORY not in self.estimate.warnings

    @property
    def passed(self) -> bool:
        """Whether all that was asked is proved."""
        return self.answer is Answer.PASS


def gate(
    a: Any,
    b: Any,
    *,
    maximum: float | None = None,
    max_lower: float | None = None,
    baseline: str | Path | Recorded | None = None,
    tolerance: float | None = None,
    on: On = "population",
    observer: Observer | None = None,
    **options: Any,
) -> GateResult:
    """Judges whether two sources are near enough: pass, fail, or inconclusive where neither is proved.

    Arguments:
        a: the reference: an address, a tensor, an array or an open source.
        b: what is judged, likewise.
        maximum: passes if the upper end is at most this, fails if the lower end is above it.
        max_lower: fails if the lower end is above this, and proves nothing otherwise; no coupling is computed, which is cheaper.
        baseline: an earlier document of the same reference, as for :func:`wdist.gate.baseline.read_recorded`: passes if W1 is
            proved to be at most ``1 + tolerance`` times what it was, fails if it is proved to be more.
        tolerance: share by which W1 may have grown since; by default 0.05.
        on: ``population``, the distributions behind the samples, or ``samples``, the two sets themselves.
        observer: is told how far the work is.
        options: further ones of :func:`wdist.estimation.estimate.estimate`. Without ``budget`` the training has a number of steps, and the
            same inputs, seed and machine give the same digits.

    Returns:
        The verdict, with the estimate that it rests on. After Ctrl-C: that on what is proved so far.

    Raises:
        WdistError: bad input, or another reference than that of the baseline, before anything is trained.
    """
    observer = observer or Silent()
    if on not in get_args(On):
        raise UsageError(f"--on {on} is unknown; write --on population or --on samples")
    recorded = baseline if baseline is None or isinstance(baseline, Recorded) else read_recorded(baseline)
    rules = rules_of(maximum=maximum, max_lower=max_lower, recorded=recorded, tolerance=tolerance, on=on)
    access, seed = options.pop("access", None) or Access(), options.get("seed", 0)
    observer.notify(Stage(what="opening the sources"))
    sides = (open_source(a, access, seed=seed), open_source(b, access, seed=seed))
    _check_judgeable(sides, on)
    if recorded is not None:
        _check_recorded(recorded, sides[0], on=on, options=options)
    found = estimate(
        *sides,
        access=access,
        observer=observer,
        **{"baselines": "none", "couplings": max_lower is None, "command": "gate", **options},
    )
    if recorded is not None:
        recorded.check_reference(found.a, found.digest_a)
        recorded.check_space(found.metric, found.features)
    return judged(found, rules, on=on, recorded=recorded, timed=_timed(options.get("budget")))


def rules_of(
    *,
    maximum: float | None,
    max_lower: float | None,
    recorded: Recorded | None,
    tolerance: float | None,
    on: On,
) -> tuple[Rule, ...]:
    """The rules that the options ask for.

    Raises:
        UsageError: nothing is asked, a number cannot be a distance, or two options exclude each other.
    """
    check_asked(maximum=maximum, max_lower=max_lower, baseline=recorded is not None, tolerance=tolerance)
    rules: list[Rule] = []
    if maximum is not None:
        rules.append(Maximum(value=maximum))
    if max_lower is not None:
        rules.append(LowerMaximum(value=max_lower))
    if recorded is not None:
        rules.append(NoWorse(before=recorded.interval(on), tolerance=TOLERANCE if tolerance is None else tolerance))
    return tuple(rules)


def judged(
    found: Estimate, rules: tuple[Rule, ...], *, on: On, recorded: Recorded | None = None, timed: bool = False
) -> GateResult:
    """The result of judging an estimate by some rules.

    Arguments:
        found: the estimate.
        rules: at least one.
        on: which of its two intervals is judged.
        recorded: the earlier result that a rule is about.
        timed: whether the training was limited by time.
    """
    interval = interval_of(found, on)
    each = tuple(Judged(rule=rule, verdict=judge(rule, interval)) for rule in rules)
    return GateResult(
        verdict=together(tuple(one.verdict for one in each)),
        judged=each,
        on=on,
        interval=interval,
        confidence=interval.confidence if recorded is None else joint_confidence(interval, recorded.interval(on)),
        estimate=found,
        recorded=recorded,
        timed=timed,
    )


def interval_of(found: Estimate, on: On) -> Interval:
    """One of the two intervals of an estimate; without a certificate its critic proves no more than that W1 is not negative."""
    facts: dict[str, Any] = {"on": on, "converged": found.converged}
    if found.interrupted:
        facts["no_upper"] = "the run was interrupted before there was one: let it finish"
    elif on == "population" and found.digest_a is not None and found.digest_a == found.digest_b:
        facts["no_upper"] = (
            "the same samples on both sides say nothing of two distributions: give independent ones, or --on samples"
        )
    if on == "samples":
        interval = Interval(lower=found.samples.lower, upper=found.samples.upper, **facts)
    else:
        bound = found.population
        interval = Interval(
            lower=bound.lower,
            upper=bound.upper,
            confidence=bound.confidence,
            estimate=bound.estimate,
            asymptotic=is_asymptotic(bound.method, bound.upper_method),
            **facts,
        )
    return replace(interval, lower=max(interval.lower, 0.0) if found.certified else 0.0)


def _check_judgeable(sides: tuple[Source, Source], on: On) -> None:
    if on == "samples" and all(isinstance(side, EndlessSource) for side in sides):
        raise UsageError(
            "--on samples judges two sets of samples, and both sides are drawn without end; leave it out, or save draws"
        )


def _check_recorded(recorded: Recorded, reference: Source, *, on: On, options: dict[str, Any]) -> None:
    """Compares with the baseline before anything is trained, as far as possible: digests of features are not known yet."""
    if options.get("features") is not None:
        return
    recorded.check_space(options.get("metric", "l2"), None)
    if isinstance(reference, FiniteSource):
        found = survey(reference)
        recorded.check_reference(replace(reference.info, dropped=len(found.nonfinite)), found.digest)
    else:
        recorded.check_reference(reference.info, None)


def _timed(budget: Budget | str | None) -> bool:
    if budget is None:
        return False
    return (Budget.parse(budget) if isinstance(budget, str) else budget).seconds is not None
