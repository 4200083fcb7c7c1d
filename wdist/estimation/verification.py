"""Verification: checks a proof against the samples, without training and without solving a transport problem."""

import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from operator import ge, le
from pathlib import Path
from typing import Any

import numpy as np
import torch

from wdist.bounds.confidence import resolve
from wdist.bounds.digits import certificate, nearest, told_apart
from wdist.bounds.dual import PROOF
from wdist.data.access import LEVEL, REFUSE, Access
from wdist.data.features.opening import open_features
from wdist.data.features.space import FeatureSpace
from wdist.data.measure import Measure
from wdist.data.pairing import Pair, open_pair
from wdist.data.rows import Rows
from wdist.data.sources.column import FITTED
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import Source
from wdist.data.tables.joint import encoded_as, jointly_encoded
from wdist.data.tables.scales import NONE as NO_SCALE
from wdist.environment import choose_device, environment
from wdist.errors import SourceError, TrustRequired, UsageError
from wdist.estimation.divergence import Divergence, DivergenceEvidence
from wdist.estimation.divergence_evidence import divergence_proved_again
from wdist.estimation.evaluation import ErrorBudget, Whole, averages_folds, diameters, evaluate_all, evaluate_critic, union_diameter
from wdist.estimation.folds import of_folds
from wdist.estimation.population_upper import (
    DUAL,
    MCDIARMID,
    NEARLY_OPTIMAL,
    RANGED,
    STUDENT,
    PopulationUpper,
    Support,
    independent_blocks,
    unbounded_blocks,
    upper_from_costs,
    upper_from_duals,
)
from wdist.estimation.proof import Proof, read_proof, rows_held_out
from wdist.estimation.result import CriticResult, Estimate, TransportBounds
from wdist.estimation.statement import Ends, ProvedDivergence, Statement
from wdist.estimation.transport_bounds import closing_lower
from wdist.ground_metric import METRICS, GroundMetric
from wdist.lipschitz.linalg.rounding import product_above
from wdist.presentable import Plottable
from wdist.training.kind import TrainedCritic
from wdist.training.loop import TrainingOutcome
from wdist.training.observer import Observer, Silent, Stage, StageProgress
from wdist.transport.coupling import Coupling, Sides
from wdist.transport.samples import proved_again

_HALF_ROUNDED, _HALF_DUAL_ROUNDED = 0.5e-6, 0.5e-9
"""Half the margin of a claim, so that rounding differences between machines do not matter."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check and its outcome."""

    what: str
    ok: bool
    detail: str


@dataclass(frozen=True, kw_only=True)
class DivergenceClaims:
    """Bounds that a proof claims for a divergence, in nats."""

    samples: Ends
    population: Ends


@dataclass(frozen=True, kw_only=True)
class Claims:
    """Bounds that a proof claims."""

    samples: Ends
    population: Ends
    divergence: DivergenceClaims | None = None
    """None if the proof is about W1 alone."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Verification(Plottable):
    """Outcome of checking a proof."""

    proof: str
    """The file that was checked."""
    estimate: Estimate
    """The bounds proved for the samples that were read."""
    claims: Claims
    findings: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every claim follows, and the samples are those of the proof."""
        return all(finding.ok for finding in self.findings)

    def __bool__(self) -> bool:
        """Whether the proof holds, so that ``assert wdist.verify(...)`` fails if it does not."""
        return self.ok

    @property
    def endless(self) -> bool:
        """Whether a side is endless, so that its samples are drawn again from the seed instead of read."""
        return self.estimate.digest_a is None or self.estimate.digest_b is None


def verify(
    path: str | Path,
    a: Any = None,
    b: Any = None,
    *,
    access: Access | None = None,
    features: Any = None,
    device: str = "cpu",
    observer: Observer | None = None,
) -> Verification:
    """Proves the numbers of a saved proof again; arguments, result and errors as for :func:`wdist.verify`.

    Certificates are recomputed from the weights, dual values from the samples, costs from the masses of the plans and their
    marginals, and confidence bounds from the held-out values. The time is linear in the samples and the plans, except for dual
    variables, which take one pass over all pairs.
    """
    began, observer = time.perf_counter(), observer or Silent()
    proof, access, chosen_device = read_proof(path), access or Access(), choose_device(device)
    if access.scale != NO_SCALE:
        raise UsageError("a proof states the units of its columns, and verification uses these; leave out --scale")
    observer.notify(Stage(what="reading and checking the samples"))
    stated = proof.statement
    # No cache: the samples themselves are read again.
    access = replace(access, drop_nonfinite=access.drop_nonfinite or stated.a.dropped + stated.b.dropped > 0, cache=False)
    space = _open_features(stated, features, access, chosen_device)
    sides = [_open(each, side.address, access, stated.seed) for each, side in ((a, stated.a), (b, stated.b))]
    metric, encoding = METRICS[stated.metric], stated.encoding
    pair = open_pair(
        *(sides if encoding is None else encoded_as(sides, encoding, metric=metric).sources),
        access=access,
        seed=stated.seed,
        device=chosen_device,
        metric=metric,
        features=space,
        most_held=_held_out_sizes(proof),
        draws=stated.draws,
        progress=lambda fraction: observer.notify(StageProgress(fraction=fraction)),
    )
    with closing(pair):
        _check_fit(path, proof, pair)
        proved = _ProvedBounds(proof, pair, observer)
        estimate = _estimate(proved, pair, space, chosen_device, seconds=time.perf_counter() - began)
    claims = _claims(stated)
    asked = (*_sources(pair, proof), *_units(sides, stated), *_features(space, stated))
    findings = (*asked, *_critics(estimate, stated), *_all_ends(estimate, claims))
    return Verification(proof=str(path), estimate=estimate, claims=claims, findings=findings)


def _claims(stated: Statement) -> Claims:
    kl = stated.divergence
    divergence = None if kl is None else DivergenceClaims(samples=kl.samples, population=kl.population)
    return Claims(samples=stated.samples, population=stated.population, divergence=divergence)


def _open_features(stated: Statement, features: Any, access: Access, device: torch.device) -> FeatureSpace | None:
    if features is not None or stated.features is None:
        return open_features(features, access, device)
    try:
        return open_features(stated.features.spec, Access(), device)
    except TrustRequired as error:
        raise _untrusted(f"the features {stated.features.spec}", "--features") from error


def _open(given: Any, stated: str, access: Access, seed: int) -> Any:
    if given is not None:
        return open_source(given, access, seed=seed)
    try:
        return open_source(stated, Access(drop_nonfinite=access.drop_nonfinite), seed=seed)
    except TrustRequired as error:
        raise _untrusted(f"the source {stated}", "A or B") from error


def _untrusted(what: str, where: str) -> TrustRequired:
    return TrustRequired(f"{what} is code that the proof names; --trust covers only what you type, so name it yourself as {where}")


def _held_out_sizes(proof: Proof) -> tuple[int | None, int | None]:
    """Number of rows held out on each side; None with folds, and for endless sources."""
    if proof.statement.folds is not None:
        return None, None
    a, b = (None if each is None else max(1, len(each)) for each in proof.held_out[0])
    return a, b


def _check_fit(path: str | Path, proof: Proof, pair: Pair) -> None:
    """Checks that the evidence fits the shape and number of these samples, and that the sides are not swapped.

    Raises:
        SourceError: the evidence does not fit, or the sides are swapped.
    """
    info, stated = pair.a.info, proof.statement
    found, claimed = (pair.a.digest, pair.b.digest), (stated.a.digest, stated.b.digest)
    if found != claimed and found == claimed[::-1]:
        raise SourceError(f"A and B are swapped: A of {path} is {stated.a.address}, and B is {stated.b.address}; exchange them")
    if proof.statement.folds is not None and not pair.divisible:
        raise SourceError(
            f"{path} is about folds of samples in memory, but these cannot be divided into folds; give the sources of the proof"
        )
    for critic in proof.frozen:
        if critic.dim != info.dim:
            raise SourceError(
                f"{path} is about samples of {critic.dim} coordinates, but those of {info.address} have {info.dim}; "
                f"give the sources of the proof"
            )
    n, m = (side.count for side in pair.independent)
    blocks = len(proof.blocks)
    if blocks and min(n, m) // blocks < 1:
        raise SourceError(f"{path} has {blocks} blocks of at most {min(n, m)} samples; give the sources of the proof")
    plans = [(plan, n // blocks, m // blocks) for plan in proof.blocks]
    n, m = pair.a.everything.count, pair.b.everything.count
    held = f"these sources hold ({n:,} and {m:,}); give the sources of the proof, A first"
    extra = DivergenceEvidence() if proof.divergence is None else proof.divergence[1]
    for plan, rows, columns in ((proof.plan, n, m), (extra.plan, n, m), *plans):
        if plan is not None and (plan.rows.max() >= rows or plan.columns.max() >= columns):
            raise SourceError(f"{path} is about more samples than {held}")
    if any(duals is not None and tuple(map(len, duals)) != (n, m) for duals in (proof.potentials, extra.potentials)):
        raise SourceError(f"{path} is about other numbers of samples than {held}")
    metric = METRICS[proof.statement.metric]
    try:
        resolve(proof.statement.method, diameters(pair.a.info, pair.b.info, metric))
    except UsageError as error:
        raise SourceError(f"{path} uses a bound for values in a known range, which these samples do not have") from error
    upper = proof.statement.upper
    if upper is not None and upper.bound in RANGED and union_diameter(pair, metric) is None:
        raise SourceError(f"{path} uses a bound for samples in a known range, which these do not have")


class _ProvedBounds:
    """The bounds that the evidence proves for one pair."""

    def __init__(self, proof: Proof, pair: Pair, observer: Observer) -> None:
        self._proof, self._pair, self.stated = proof, pair, (stated := proof.statement)
        self._metric: GroundMetric = METRICS[self.stated.metric]
        observer.notify(Stage(what="evaluating the critics"))
        folds = stated.folds
        splits = [pair] if folds is None else [pair.fold(folds, number, seed=stated.seed) for number in range(folds)]
        self.held_out = [(split.a.held_out.count, split.b.held_out.count) for split in splits]
        wholes = self._of_all_samples()
        self.critics = [self._critic(number, splits, wholes[number]) for number in range(len(proof.critics))]
        observer.notify(Stage(what="adding up the costs of the plans"))
        self.transport_lower = self._dual_lower()
        self.transport = TransportBounds(
            coupling=self._coupling(), lower=self.transport_lower, population_upper=self._population_upper()
        )
        self.divergence = self._divergence()

    @property
    def _errors(self) -> ErrorBudget:
        upper = self.stated.upper is not None
        return ErrorBudget(
            confidence=self.stated.confidence,
            method=self.stated.method,
            lower_bounds=max(1, self.stated.jointly_with - upper),
            upper_bound=upper,
        )

    def _of_all_samples(self) -> list[Whole | None]:
        """Potentials of all samples by each critic, in one pass over streams; None in memory, and for critics without a claim."""
        claimed = self.stated.critics
        numbers = [number for number, each in enumerate(claimed) if self._streamed and each.folds[0].samples_lower > 0]
        found = evaluate_all([self._proof.critics[number][0] for number in numbers], self._pair) if numbers else []
        known = dict(zip(numbers, found, strict=True))
        return [known.get(number) for number in range(len(claimed))]

    @property
    def _streamed(self) -> bool:
        return self._pair.a.streamed or self._pair.b.streamed

    def _critic(self, number: int, splits: list[Pair], whole: Whole | None) -> CriticResult:
        claimed, results = self.stated.critics[number], []
        for critic, split in zip(self._proof.critics[number], splits, strict=False):
            outcome = TrainingOutcome(steps=0, seconds=0.0, history=(), interrupted=False)
            trained = TrainedCritic(name=claimed.name, title=claimed.title, critic=critic, outcome=outcome, settings={})
            result = evaluate_critic(
                trained,
                split,
                self._errors,
                metric=self._metric,
                seed=self.stated.seed,
                margin=PROOF,
                whole=whole,
                held_out_only=whole is None and self._streamed,
            )
            results.append(result)
        return results[0] if self.stated.folds is None else of_folds(results, self._errors, margin=PROOF)

    def _sides(self, a: Rows, b: Rows) -> Sides:
        return Sides(a=a, b=b, prepare=self._pair.standardisation.on_cpu, metric=self._metric)

    def _coupling(self) -> Coupling | None:
        pair = self._pair
        if pair.identical:
            return Coupling(cost=0.0, exact=True, method="A and B are the same")
        if self.stated.samples.upper is None:
            return None
        cost = proved_again(self._sides(pair.a.everything, pair.b.everything), self._proof.plan)
        method = "the plan of the proof"
        return None if cost is None else Coupling(cost=product_above(cost, pair.standardisation.spread), exact=False, method=method)

    def _dual_lower(self) -> float:
        pair = self._pair
        if pair.identical:
            return 0.0
        on_a_line = pair.a.info.dim == 1 and self.stated.samples.upper is not None
        return closing_lower(pair, self._proof.potentials, self._metric, on_a_line=on_a_line, margin=PROOF)

    def _population_upper(self) -> PopulationUpper | None:
        upper, pair, spread = self.stated.upper, self._pair, self._pair.standardisation.spread
        if upper is None:
            return None
        sides = self._sides(*pair.independent)
        blocks = independent_blocks(sides, upper.blocks, seed=self.stated.seed)
        costs = [proved_again(block, plan) for block, plan in zip(blocks, self._proof.blocks, strict=True)]
        (n, m), diameter = sides.counts, union_diameter(pair, self._metric)
        rule = {STUDENT: unbounded_blocks(n, m, pair.a.info.dim), MCDIARMID: 1, DUAL: 1}.get(upper.bound, max(2, upper.blocks))
        if None in costs or len(costs) != rule:
            return None  # the bound holds only if the number of blocks does not depend on their costs
        support = Support(n=n, m=m, diameter=None if diameter is None else diameter / spread)
        found, alpha = np.array(costs, dtype=float), self._errors.alpha / upper.tried
        if upper.bound == DUAL:
            value = self._upper_from_duals(float(found[0]), alpha)
        else:
            value = upper_from_costs(found, upper.bound, alpha, support, slack=_HALF_ROUNDED)
        if value is None or math.isinf(value):
            return None
        return PopulationUpper(value=product_above(value, spread), bound=upper.bound, tried=upper.tried, plans=self._proof.blocks)

    def _divergence(self) -> Divergence | None:
        stated, found = self.stated.divergence, self._proof.divergence
        if stated is None or found is None:
            return None
        return divergence_proved_again(stated, *found, self._pair, self._errors, self.transport, self._metric)

    def _upper_from_duals(self, cost: float, alpha: float) -> float | None:
        """The upper bound for the populations from dual variables; None unless they are nearly optimal."""
        pair, spread = self._pair, self._pair.standardisation.spread
        optimal = self.transport_lower >= NEARLY_OPTIMAL * cost * spread
        if self._proof.potentials is None or pair.a.info.fitted or not optimal:
            return None
        u, v = (side / spread for side in self._proof.potentials)
        return upper_from_duals(cost, *pair.standardised, (u, v), alpha, metric=self._metric, slack=_HALF_DUAL_ROUNDED)


def _estimate(proved: _ProvedBounds, pair: Pair, space: FeatureSpace | None, device: torch.device, *, seconds: float) -> Estimate:
    """Returns the proved bounds as an estimate."""
    results = [proved.transport.on(result) for result in proved.critics]
    return Estimate(
        command="verify",
        samples=proved.transport.tightest(results),
        critic=results[0],
        baselines=tuple(results[1:]),
        a=pair.a.info,
        b=pair.b.info,
        digest_a=pair.a.digest,
        digest_b=pair.b.digest,
        metric=proved.stated.metric,
        seed=proved.stated.seed,
        truth=None,
        seconds=seconds,
        environment=environment(device),
        preview=None,
        warnings=pair.warnings,
        folds=proved.stated.folds,
        features=None if space is None else replace(space.facts, dim=pair.a.info.dim),
        transport=proved.transport,
        divergence=proved.divergence,
    )


def _sources(pair: Pair, proof: Proof) -> Iterator[Check]:
    stated = proof.statement
    for which, (name, measure, source) in enumerate((("A", pair.a, stated.a), ("B", pair.b, stated.b))):
        same = measure.digest == source.digest
        detail = "not those of the claim" if not same else "drawn again from the seed" if source.digest is None else "as claimed"
        yield Check(what=f"samples {name}", ok=same, detail=detail)
        drawn = all(_chosen_by_seed(measure, rows[which], stated, fold) for fold, rows in enumerate(proof.held_out))
        parts = f"{measure.held_out.count}" if stated.folds is None else f"{stated.folds} folds"
        detail = f"{parts}, chosen by the seed" if drawn else "not those that the seed chooses"
        yield Check(what=f"held-out samples {name}", ok=drawn, detail=detail)


def _chosen_by_seed(measure: Measure, held_out: np.ndarray | None, stated: Statement, fold: int) -> bool:
    """Whether the held-out rows are those that the seed chooses."""
    if measure.digest is None or held_out is None:
        return measure.digest is None and held_out is None
    count, size = measure.everything.count, measure.held_out.count
    return np.array_equal(held_out, rows_held_out(count, size, folds=stated.folds, fold=fold, seed=stated.seed))


def _units(sides: list[Source], stated: Statement) -> Iterator[Check]:
    """Checks units of columns that were fitted to samples; reports the others."""
    encoding = stated.encoding
    if encoding is None:
        return
    spreads = encoding.scaling in FITTED
    scaled = ", ".join(f"{column.name} / {column.scale:.6g}" for column in encoding.columns if column.scale != 1)
    ok, detail = True, f"{encoding.scaling}, as the proof states: {scaled}" if scaled else "those of the data"
    if encoding.fitted:
        # A scale file that the proof names is not read: its units are only reported.
        missing = LEVEL if any(column.indicator for column in encoding.columns) else REFUSE
        access = Access(scale=encoding.scaling if spreads else NO_SCALE, missing=missing)
        again = jointly_encoded(sides, access, seed=stated.seed, metric=METRICS[stated.metric]).sources[0].info.columns or ()
        ok = len(again) == len(encoding.columns) and all(
            _same(found.fill, each.fill) and (not spreads or _same(found.scale, each.scale))
            for found, each in zip(again, encoding.columns, strict=True)
        )
    if encoding.fitted and not ok:
        detail = "not those that training samples of A give"
    elif spreads:
        detail = f"{encoding.scaling} over training samples of A"
    yield Check(what="units of columns", ok=ok, detail=detail)


def _same(found: float | None, stated: float | None) -> bool:
    if found is None or stated is None:
        return found is stated
    return math.isclose(found, stated, rel_tol=1e-9, abs_tol=1e-12)


def _features(space: FeatureSpace | None, stated: Statement) -> Iterator[Check]:
    if space is not None and stated.features is not None:
        same = space.facts.digest == stated.features.digest
        yield Check(what="features", ok=same, detail="as claimed" if same else "of another function, or its file changed")
    elif space is not None or stated.features is not None:
        yield Check(what="features", ok=False, detail="the claim and this check are about different spaces")


def _critics(estimate: Estimate, stated: Statement) -> Iterator[Check]:
    for result, claimed in zip(estimate.critics, stated.critics, strict=True):
        folds = zip(claimed.folds, result.folds or (result,), strict=True)
        ends = [("samples", fold.samples_lower, found.samples.lower) for fold, found in folds]
        ends.append(("populations", claimed.population_lower, result.population.lower))
        apart = [(what, *told_apart(claim, proved)) for what, claim, proved in ends if not claim <= proved]
        fell_short = [f"{what} >= {claim} is claimed, {proved} proved" for what, claim, proved in apart]
        largest = max(found.lipschitz_bound for found in result.folds or (result,))
        detail = (
            "; ".join(fell_short)
            or f"K <= {certificate(largest)}, {'both' if stated.folds is None else 'all'} of its bounds follow"
        )
        yield Check(what=f"critic {claimed.name}", ok=not fell_short, detail=detail)
    if estimate.divergence is not None and stated.divergence is not None:
        yield _critic_of_divergence(estimate.divergence, stated.divergence)
    lower_bounds = sum(1 if averages_folds(stated.method) else len(each.folds) for each in stated.critics)
    stating = lower_bounds + (stated.upper is not None) + (stated.divergence is not None)
    enough = stated.jointly_with >= stating
    detail = f"{100 * stated.confidence:.4g} %, shared by {stated.jointly_with} bounds"
    yield Check(what="confidence", ok=enough, detail=detail + ("" if enough else f", but {stating} are stated"))


def _critic_of_divergence(found: Divergence, stated: ProvedDivergence) -> Check:
    """Checks that the slope of the potential is at most lambda; the bounds hold anyway, because it is scaled down to that."""
    steep = stated.factor > found.critic.clipped.factor * (1 + 1e-9)
    slope, limit = f"{found.critic.lipschitz_bound:.9g}", f"lambda = {stated.lambda_:.9g}"
    detail = f"its factor makes it steeper than {limit}" if steep else f"slope <= {slope}, with {limit}"
    return Check(what="critic of the divergence", ok=not steep, detail=detail)


def _all_ends(estimate: Estimate, claims: Claims) -> Iterator[Check]:
    yield from _ends(estimate, claims)
    if estimate.divergence is not None and claims.divergence is not None:
        yield from _ends(estimate.divergence, claims.divergence, of=" of D")


def _ends(found: Estimate | Divergence, claims: Claims | DivergenceClaims, *, of: str = "") -> Iterator[Check]:
    samples, population = found.samples, found.population
    ends = (
        (f"lower end{of}, samples", le, claims.samples.lower, samples.lower),
        (f"upper end{of}, samples", ge, claims.samples.upper, samples.upper),
        (f"lower end{of}, populations", le, claims.population.lower, population.lower),
        (f"upper end{of}, populations", ge, claims.population.upper, population.upper),
    )
    for what, follows, claim, value in ends:
        if claim is None:
            continue
        ok = value is not None and follows(claim, value)
        shown, proved = (nearest(claim), "nothing") if value is None else told_apart(claim, value)
        yield Check(what=what, ok=ok, detail="proved" if ok else f"{shown} is claimed, {proved} is proved")
