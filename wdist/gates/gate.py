"""``gate``: a verdict on two sources, from one estimate and the limits for W1."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from wdist.critics.settings import CriticSettings
from wdist.data.comparable import surveyed
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, Source
from wdist.errors import CertificateError, UsageError
from wdist.estimation.blocks import LEAST_GROUPS, above_reference, growth
from wdist.estimation.estimate import run_estimate
from wdist.estimation.options import AUTO, DEFAULT, NONE, EstimateOptions
from wdist.estimation.proof import proof_of_estimate
from wdist.estimation.result import Estimate
from wdist.estimation.semi_discrete import LEAST_DRAWS
from wdist.estimation.transport_bounds import SHORT_OF_MEMORY
from wdist.estimation.verification import verify
from wdist.gates.baseline import Recorded, read_recorded
from wdist.gates.limits import TOLERANCE, AboveReference, GateLimits, On
from wdist.gates.rules import (
    Answer,
    Interval,
    Look,
    LowerMaximum,
    Maximum,
    NoFartherBlocks,
    NoMoreDetected,
    NoWorse,
    ReferenceMaximum,
    Rule,
    is_asymptotic,
    joint_confidence,
)
from wdist.gates.verdict import Verdict, judge, together
from wdist.presentable import Plottable
from wdist.training.observer import Observer, Silent, Stage


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A rule with its verdict."""

    rule: Rule
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, repr=False)
class GateResult(Plottable):
    """Result of one ``wdist gate``."""

    verdict: Verdict
    """Verdict on all rules together."""
    judged: tuple[Judged, ...]
    on: On
    interval: Interval
    """Interval that was judged."""
    confidence: float | None
    """Confidence of the verdict; None if it is certain."""
    estimate: Estimate
    recorded: Recorded | None
    """Earlier result, if one of the rules compares with it."""
    timed: bool
    """Whether the training was limited by time, so that another run gives different digits."""
    looks: tuple[Look, ...] = ()
    """The interval after each batch of a sequential gate, whose estimate is that of the samples before the last batch."""

    @property
    def answer(self) -> Answer:
        """Pass, fail or inconclusive."""
        return self.verdict.answer

    @property
    def repeatable(self) -> bool:
        """Whether the same inputs and seed reproduce these digits on this machine; a GPU sums in any order."""
        on_cpu = self.estimate.environment.device.startswith("cpu")
        return not self.timed and on_cpu and SHORT_OF_MEMORY not in self.estimate.warnings

    @property
    def passed(self) -> bool:
        """Whether everything required is proved."""
        return self.answer is Answer.PASS

    def __bool__(self) -> bool:
        """Whether the gate passed, so that ``assert wdist.gate(...)`` fails if it did not."""
        return self.passed

    @property
    def training_note(self) -> str | None:
        """Sentence with the reason why no critic was trained; None if one was."""
        note = "No critic was trained, because transport alone decides; --critic NAME trains one."
        return None if self.interval.trained else note


def run_gate(
    a: Any,
    b: Any,
    options: EstimateOptions,
    limits: GateLimits,
    *,
    proof: str | Path | None = None,
    observer: Observer | None = None,
) -> GateResult:
    """Judges with validated options and limits; arguments, result and errors as for :func:`wdist.gate`.

    Sample sets are judged without training, unless the options name or describe a critic: transport proves both bounds. A gate with
    ``max_lower`` computes no transport and always trains.
    """
    observer = observer or Silent()
    recorded = None if limits.baseline is None else read_recorded(limits.baseline)
    if recorded is not None:
        recorded.interval(limits.on)
    observer.notify(Stage(what="opening the sources"))
    sides = (open_source(a, options.access, seed=options.seed), open_source(b, options.access, seed=options.seed))
    _check_sides(sides, options, limits, proof)
    if recorded is not None:
        _check_recorded(recorded, sides[0], options)
    if proof is not None:
        found, timed, trained = _proved(proof, sides, options, observer), False, True
    else:
        critic_left_open = (options.critic, options.critics, options.settings) == (AUTO, None, CriticSettings())
        trained = not critic_left_open or limits.on in ("population", "detected") or limits.max_lower is not None
        options, timed = _options_of_gate(options, limits, recorded, trained=trained), options.timed
        found = run_estimate(*sides, options, observer=observer, command="gate", to_distribution=limits.on == "reference")
    if recorded is not None:
        recorded.check_space(found.metric, found.features)  # first: other features have other digests
        recorded.check_reference(found.a, found.digest_a)
    return judged(found, rules_of(limits, recorded, found), on=limits.on, recorded=recorded, timed=timed, trained=trained)


def _check_sides(sides: Sequence[Source], options: EstimateOptions, limits: GateLimits, proof: str | Path | None) -> None:
    """Makes sure that the estimand of ``--on`` is defined for the sides; raises UsageError."""
    endless = [isinstance(side, EndlessSource) for side in sides]
    if limits.on in ("detected", "block", "reference") and proof is not None:
        raise UsageError(f"--proof holds bounds of W1, but not what --on {limits.on} judges; leave out one of them")
    if limits.on == "samples" and all(endless):
        raise UsageError(
            "--on samples judges two sets of samples, but both sides are drawn without end; leave it out, or save draws"
        )
    if limits.on == "reference" and endless != [False, True]:
        raise UsageError(
            "--on reference judges W1 from stored samples of A to what B draws without end; give a file as A and a generator as B, "
            "or leave it out"
        )
    if limits.on == "reference" and options.draws is not None and options.draws < LEAST_DRAWS:
        raise UsageError(f"--on reference needs --draws of at least {LEAST_DRAWS}, not {options.draws}")


def _options_of_gate(options: EstimateOptions, limits: GateLimits, recorded: Recorded | None, *, trained: bool) -> EstimateOptions:
    """Options of the estimate: only as much as the verdict rests on, and blocks like those of the baseline."""
    if not trained:
        options = replace(options, critic="mean-difference")
    if limits.on == "block" and recorded is not None and recorded.blocks is not None and options.blocks is None:
        options = replace(options, blocks=recorded.blocks.size)
    if limits.on not in ("population", "detected"):
        options = replace(options, folds=options.folds or 1)  # the verdict rests on transport alone
    return replace(options, couplings=options.couplings and limits.max_lower is None)


def _proved(proof: str | Path, sides: tuple[Source, Source], options: EstimateOptions, observer: Observer) -> Estimate:
    """The estimate that a proof proves for the samples.

    Raises:
        UsageError: an option concerns training.
        CertificateError: a claim of the proof does not follow.
    """
    used = {name: getattr(options, name) for name in ("access", "device", "features")}
    if options != EstimateOptions(baselines=options.baselines, **used) or options.baselines not in (DEFAULT, NONE):
        raise UsageError("--proof proves an earlier result again and trains nothing; leave out the options of the training")
    device = "cpu" if options.device == AUTO else options.device
    found = verify(proof, *sides, access=options.access, features=options.features, device=device, observer=observer)
    if not found.ok:
        failed = next(finding for finding in found.findings if not finding.ok)
        raise CertificateError(f"{proof} does not prove what it claims ({failed.what}: {failed.detail}); see `wdist verify`")
    return replace(found.estimate, command="gate")


def proof_of_gate(result: GateResult) -> bytes:
    """The proof of the numbers behind a verdict, as the bytes of a safetensors file.

    Raises:
        UsageError: the verdict is sequential, so it rests on many critics.
    """
    if result.looks:
        raise UsageError("a sequential verdict rests on many critics, which a proof cannot hold; leave out --save-proof")
    return proof_of_estimate(result.estimate)


def judged(
    found: Estimate, rules: tuple[Rule, ...], *, on: On, recorded: Recorded | None = None, timed: bool = False, trained: bool = True
) -> GateResult:
    """Judges one of the intervals of an estimate by at least one rule; ``recorded`` is the earlier result that a rule rests on."""
    interval = replace(interval_of(found, on), trained=trained)
    each = tuple(Judged(rule=rule, verdict=_judge(rule, interval, found)) for rule in rules)
    return GateResult(
        verdict=together(tuple(one.verdict for one in each)),
        judged=each,
        on=on,
        interval=interval,
        confidence=_joint(interval, recorded, rules),
        estimate=found,
        recorded=recorded,
        timed=timed,
    )


def _judge(rule: Rule, interval: Interval, found: Estimate) -> Verdict:
    """The verdict; if it is inconclusive and another estimand would decide, a suggestion says so."""
    verdict = judge(rule, interval)
    if verdict.answer is not Answer.INCONCLUSIVE or interval.on != "population" or found.detected is None:
        return verdict
    answer = Answer.INCONCLUSIVE if isinstance(rule, NoWorse) else judge(rule, interval_of(found, "detected")).answer
    if answer is Answer.INCONCLUSIVE:
        return verdict
    about = (
        f"--on detected would {answer} now: it asks what this critic finds on fresh samples, which does not bound W1 from above."
    )
    return replace(verdict, suggestions=(*verdict.suggestions, about))


def _joint(interval: Interval, recorded: Recorded | None, rules: tuple[Rule, ...]) -> float | None:
    """Confidence of all answers together; each rule on a detected value or on blocks is a separate test."""
    if interval.on in ("detected", "block"):
        assert interval.confidence is not None, "a mean is known at some confidence"
        return max(0.0, 1 - len(rules) * (1 - interval.confidence))
    return interval.confidence if recorded is None else joint_confidence(interval, recorded.interval(interval.on))


def interval_of(found: Estimate, on: On) -> Interval:
    """One of the intervals of an estimate; UsageError if both sides hold the same samples, on which nothing can be detected."""
    if on == "detected":
        return _detected(found)
    if on == "block":
        return _between_blocks(found)
    if on == "reference":
        return _to_distribution(found)
    facts: dict[str, Any] = {"on": on, "converged": found.converged}
    if found.interrupted:
        facts["no_upper"] = "the run was interrupted before it was computed: let it finish"
    elif on == "population" and found.digest_a is not None and found.digest_a == found.digest_b:
        facts["no_upper"] = (
            "the same samples on both sides say nothing about two distributions: give independent ones, or --on samples"
        )
    elif on == "population" and found.transport is not None and found.transport.unvaried:
        facts["no_upper"] = (
            "equal distances say nothing about values that were not drawn: state their range, such as ?stored=0:1, or give "
            "--on samples"
        )
    if on == "samples":
        return Interval(lower=max(found.samples.lower, 0.0), upper=found.samples.upper, **facts)
    bound = found.population
    return Interval(
        lower=max(bound.lower, 0.0),
        upper=bound.upper,
        confidence=bound.confidence,
        estimate=bound.estimate,
        asymptotic=is_asymptotic(bound.method, bound.upper_method),
        **facts,
    )


def _detected(found: Estimate) -> Interval:
    detected = found.detected
    if detected is None:
        raise UsageError("--on detected needs independent samples, but both sides hold the same ones; give others, or --on samples")
    lower, upper = detected.one_sided
    return Interval(
        on="detected",
        lower=lower,
        upper=upper,
        one_sided=lower > detected.lower,
        confidence=detected.confidence,
        estimate=detected.estimate,
        errors=(detected.error_a, detected.error_b),
        counts=(detected.n_a, detected.n_b),
        undivided=found.undivided,
        asymptotic=is_asymptotic(detected.method, None),
        rise=found.critic.rise,
        converged=found.converged,
    )


def _between_blocks(found: Estimate) -> Interval:
    block = found.block
    if block is None:
        raise UsageError(
            f"--on block needs independent samples, at least 20 of each side and {2 * LEAST_GROUPS} times --blocks, and distances "
            "that vary; give more samples or smaller blocks, or use --on samples"
        )
    return _two_sided(block, on="block", size=block.size, asymptotic=block.method == "student")


def _to_distribution(found: Estimate) -> Interval:
    reference = found.semi_discrete
    if reference is None:
        raise UsageError(
            "--on reference had no time for transport from all samples of A, or its draws do not vary; give fewer samples, "
            "?limit=5000, or a longer --budget"
        )
    counts = (reference.n, reference.draws)
    return _two_sided(reference, on="reference", counts=counts, asymptotic=reference.method == "student")


def _two_sided(mean: Any, **facts: Any) -> Interval:
    """The interval of a mean whose two ends are estimated."""
    return Interval(lower=mean.lower, upper=mean.upper, confidence=mean.confidence, estimate=mean.estimate, **facts)


def rules_of(limits: GateLimits, recorded: Recorded | None, found: Estimate) -> tuple[Rule, ...]:
    """The rules that follow from limits and an earlier result."""
    rules: list[Rule] = []
    limit = limits.limit
    if isinstance(limit, AboveReference):
        now = interval_of(found, "block")
        assert found.block is not None, "there is an interval"
        within, difference = above_reference(found.block, share=limit.share, deviations=limit.deviations)
        rules.append(ReferenceMaximum(now=now, difference=difference, above=limit, within=within))
    elif limit is not None:
        rules.append(Maximum(value=limit))
    if limits.max_lower is not None:
        rules.append(LowerMaximum(value=limits.max_lower))
    if recorded is not None:
        tolerance = TOLERANCE if limits.tolerance is None else limits.tolerance
        before = recorded.interval(limits.on)
        if limits.on == "detected":
            rules.append(NoMoreDetected(before=before, now=interval_of(found, "detected"), tolerance=tolerance))
        elif limits.on == "block":
            rules.append(_no_farther(recorded, found, tolerance))
        else:
            rules.append(NoWorse(before=before, tolerance=tolerance))
    return tuple(rules)


def _no_farther(recorded: Recorded, found: Estimate, tolerance: float) -> NoFartherBlocks:
    now, before = interval_of(found, "block"), recorded.blocks
    assert found.block is not None and before is not None, "both have an interval"  # noqa: PT018
    before.check(found.block)
    difference = growth(found.block, np.array(before.values), tolerance=tolerance)
    return NoFartherBlocks(before=before.interval, now=now, tolerance=tolerance, difference=difference)


def _check_recorded(recorded: Recorded, reference: Source, options: EstimateOptions) -> None:
    """Checks the reference against the baseline before anything is trained; with features, their digests are not known yet."""
    if options.features is not None:
        return
    recorded.check_space(options.metric, None)
    usable, found = surveyed(reference, options.access, seed=options.seed)
    recorded.check_reference(usable.info, None if found is None else found.digest)
