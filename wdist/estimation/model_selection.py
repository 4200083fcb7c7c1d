"""Model selection: fits the requested critics and, where there is a choice, takes the best on the validation split."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.dual import dual_value
from wdist.checkpoints.checkpoint import now
from wdist.critics.blend import best_blend, blended
from wdist.critics.clipping import clipped, clipped_share, ends
from wdist.critics.frozen import FrozenCritic
from wdist.data.memory import give_back_memory
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows
from wdist.distributed.processes import processes
from wdist.errors import CertificateError, TrainingDiverged, WdistError
from wdist.estimation.evaluation import evaluate_rows
from wdist.estimation.requested import RequestedCritic
from wdist.estimation.result import Attempt
from wdist.estimation.run import Agenda
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.linalg.rounding import best_up_to_rounding
from wdist.training.budget import Budget
from wdist.training.closed_forms import FIT_ROWS
from wdist.training.kind import CriticSpec, RefittableKind, TrainedCritic, TrainingJob
from wdist.training.loop import TrainingOutcome
from wdist.training.observer import NO_TRAINING, Silent

_ENOUGH, _SURELY = 0.999, 2.0
"""The search stops once a validation value, less this many standard errors, reaches this fraction of an upper bound."""
_CLOSE = 0.05
"""A kind is trained again if its first validation value falls short of the best by at most this share of it."""
_LEAST_RISE, _LARGEST_RISE = 0.001, 0.1
"""Smallest and largest relative rise at the end of a first training that counts when kinds divide the rest of the time."""
_TELLING_STEPS = 50
"""A first training with fewer steps is too short to tell, and counts as one with the largest rise."""
_WORTHWHILE = 1 / 3
"""A kind is trained again only if it gained at least this share of what the kind that gained most did."""
_REFIT_SHARE = 0.15
"""Fraction of a time budget for fitting the chosen critic again."""
_GRACE = 5.0
"""Seconds by which a time budget may be exceeded before candidates are left out."""
_VALIDATED_ROWS, _LEAST_VALIDATED, _VALIDATED_NUMBERS = 1 << 15, 1 << 12, 1 << 26
"""Most samples of each side that judge a critic: a critic of thousands of cones takes minutes for a million. Of samples with many
coordinates, fewer, so that these are at most the last number, but not fewer than the second."""
_BLEND_NUMBERS = 1 << 23
"""Most coordinates of training samples used to decide how two critics are combined."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Selection:
    """The chosen critic and its rivals."""

    critic: TrainedCritic
    tried: tuple[Attempt, ...] = ()
    """Empty if the user named the critic."""
    fitted: tuple[TrainedCritic, ...] = ()
    """All critics fitted in the search, unclipped; a baseline that was chosen comes first."""


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    critic: TrainedCritic
    """Clipped if its tails are heavy."""
    fitted: TrainedCritic
    """The same critic before clipping."""
    spec: CriticSpec | None
    """None for a combination of two others."""
    validation: float
    """Dual value on the validation split divided by the certificate, in the units of the data."""
    parts: tuple["_Candidate", ...] = ()
    """The two critics of a combination."""


def select_critics(
    requested: RequestedCritic, jobs: Sequence[TrainingJob], budget: Budget | None, agenda: Agenda
) -> list[Selection | WdistError | None]:
    """Fits a requested critic for each job, and chooses where there is a choice.

    A budget in steps is divided among all kinds that train. Under a time budget, each kind first trains for a small share; the
    best kind then trains again with the rest, which it divides with kinds that came within 5 % of it, by how much each still gained
    at the end. Nothing is lost: the first runs remain candidates. Cheap critics come first, and the search stops once a candidate
    is certain to be within 0.1 % of an upper bound for the samples. Where samples are few and dimensions many, a closed form beats
    every network on the validation split and is chosen. When the time is up, critics not yet tried are left out. A candidate with
    heavy tails is clipped before it is compared.
    Processes that share the work train candidates side by side, including those that a single process would have skipped.

    The chosen or named critic is fitted again on the training and validation samples together, with the same settings, if its kind
    supports that. Nothing is chosen afterwards, and held-out samples play no part.

    Arguments:
        requested: one specification, or several to choose from.
        jobs: one for each seed.
        budget: of each job; None for the defaults.
        agenda: announces each critic.

    Returns:
        For each job its selection, the error if no critic was finite, or None if it was interrupted before any was fitted.
    """
    if len(requested.specs) == 1:
        return _named(requested.specs[0], jobs, budget, agenda)
    searches = [_Trial(job, requested.specs[0].metric, agenda) for job in jobs]
    quick = sum(spec.kind.quick_share for spec in requested.specs)
    timed = budget is not None and budget.seconds is not None
    first = [spec for spec in requested.specs if not spec.kind.slow_to_start]
    parts = [
        None if budget is None or spec.budget is None else budget.part(spec.kind.quick_share / (1.0 if timed else quick))
        for spec in first
    ]
    ahead: dict[str, dict[_Trial, TrainedCritic | WdistError | None]] = {}
    time_left = _TimeLeft(budget, len(jobs))
    for number, (spec, part) in enumerate(zip(first, parts, strict=True)):
        if number and time_left.none():
            break
        if not ahead and spec.budget is not None:
            ahead = _fitted_ahead(list(zip(first, parts, strict=True))[number:], searches, agenda)
        _try(spec, searches, part, agenda, ahead.get(spec.kind.name))
    if budget is not None and timed:
        for search in searches:
            search.prolong(budget, min(1 - quick, time_left.share()))
    for spec in (spec for spec in requested.specs if spec.kind.slow_to_start):
        if not time_left.less_than(spec.seconds):
            _try(spec, searches, None, agenda)
    return [search.choose(budget) for search in searches]


class _TimeLeft:
    """Remaining time of all jobs together, by the clock, because formulas and validation take time, too."""

    def __init__(self, budget: Budget | None, jobs: int) -> None:
        self._jobs, self._seconds = jobs, math.inf if budget is None or budget.seconds is None else budget.seconds * jobs
        self._began = now()

    def share(self) -> float:
        """Remaining fraction of the budget, including :data:`_GRACE`; the first process decides."""
        if math.isinf(self._seconds):
            return math.inf
        return 1 + (_GRACE - processes().decided(now() - self._began)) / self._seconds

    def none(self) -> bool:
        """Whether nothing more should be tried."""
        return self.share() <= 0

    def less_than(self, seconds: float) -> bool:
        """Whether something that takes this long for each job would end late, by more than :data:`_GRACE`."""
        return self.share() * self._seconds <= seconds * self._jobs


def _named(
    spec: CriticSpec, jobs: Sequence[TrainingJob], budget: Budget | None, agenda: Agenda
) -> list[Selection | WdistError | None]:
    """Fits the critic that the user named."""
    trained = spec.kind.trained
    if not trained:  # there is no choice, and no training to stop
        jobs = [replace(job, pair=job.pair.without_validation) for job in jobs]
    own = budget if budget is None or budget.seconds is None else budget.part(1 - _kept_aside(spec, jobs[0].pair))
    return [
        Selection(critic=_refitted(each, spec, job, budget, agenda) if trained else each, fitted=(each,))
        if isinstance(each, TrainedCritic)
        else each
        for each, job in zip(fit(spec, jobs, own, agenda), jobs, strict=True)
    ]


def trains_side_by_side(requested: RequestedCritic) -> bool:
    """Whether processes can train several critics of :func:`select_critics` side by side."""
    return sum(spec.budget is not None and not spec.kind.slow_to_start for spec in requested.specs) > 1


def _fitted_ahead(
    planned: Sequence[tuple[CriticSpec, Budget | None]], searches: Sequence["_Trial"], agenda: Agenda
) -> dict[str, dict["_Trial", TrainedCritic | WdistError | None]]:
    """Trains several kinds side by side in separate processes; returns the critics of each open trial, by kind."""
    waiting = [search for search in searches if not search.closed]
    if processes().size == 1 or not waiting:
        return {}
    jobs = [search.job for search in waiting]
    own = [
        (spec, part)
        for spec, part in planned
        if spec.budget is not None and not spec.kind.shares_batches(spec, jobs[0].pair, jobs[0].device)
    ]
    tasks = [partial(jobs[0].interruption.attempt, partial(fit, spec, jobs, part, agenda)) for spec, part in own]
    costs = [spec.expected_seconds(part) for spec, part in own]
    found = [each or [None] * len(jobs) for each in processes().spread("candidates", tasks, costs=costs)]
    return {spec.kind.name: dict(zip(waiting, each, strict=True)) for (spec, _), each in zip(own, found, strict=True)}


def _try(
    spec: CriticSpec,
    searches: Sequence["_Trial"],
    budget: Budget | None,
    agenda: Agenda,
    ahead: Mapping["_Trial", TrainedCritic | WdistError | None] | None = None,
) -> None:
    """Fits a critic for each job whose search goes on, unless it was fitted ahead."""
    waiting = [search for search in searches if not search.closed]
    if ahead is not None:
        for search in waiting:
            search.add(ahead[search], spec)
    elif waiting:
        for search, found in zip(waiting, fit(spec, [search.job for search in waiting], budget, agenda), strict=True):
            search.add(found, spec)


def expected_seconds(requested: RequestedCritic, budget: Budget | None) -> float:
    """Expected seconds for fitting a requested critic, roughly."""
    if budget is not None and budget.seconds is not None:
        return budget.seconds
    return sum(spec.expected_seconds(budget) for spec in requested.specs)


def fit(
    spec: CriticSpec, jobs: Sequence[TrainingJob], budget: Budget | None, agenda: Agenda
) -> list[TrainedCritic | WdistError | None]:
    """Announces a critic and fits it for each job; the budget is that of each job, None for the default."""
    own = None if spec.budget is None else budget or spec.budget

    def announced() -> list[Any]:
        text = NO_TRAINING if own is None else str(own) + (f", {len(jobs)} seeds" if len(jobs) > 1 else "")
        agenda.critic(spec.kind.name, text, spec.expected_seconds(own) * len(jobs))
        jobs[0].begin()
        with _threads_for(spec, jobs[0].device):
            return spec.kind.fit_together(spec, jobs, own if own is None or own.seconds is None else own.part(len(jobs)))

    def attempted() -> list[Any]:
        return jobs[0].interruption.attempt(announced) or []

    if spec.kind.shares_batches(spec, jobs[0].pair, jobs[0].device):
        found = attempted()
        found = processes().from_first("a critic", lambda: found)  # all of them trained it, to the last bit
    else:
        found = processes().from_first("a critic", attempted)
    give_back_memory()
    shown = {} if own is None else {"budget": str(own)}
    fitted = [replace(each, settings={**each.settings, **shown}) if isinstance(each, TrainedCritic) else each for each in found]
    if first := next((each for each in fitted if isinstance(each, TrainedCritic)), None):
        agenda.found(first.name, first.outcome)
    return [*fitted, *[None] * (len(jobs) - len(fitted))]


@contextmanager
def _threads_for(spec: CriticSpec, device: torch.device) -> Iterator[None]:
    """Uses one thread if steps on the CPU are so short that several threads only slow them down."""
    threads = torch.get_num_threads()
    if spec.budget is not None and device.type == "cpu" and not spec.has_long_steps:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Trial:
    """The candidates of one job so far."""

    def __init__(self, job: TrainingJob, metric: GroundMetric, agenda: Agenda) -> None:
        self.job, self._metric, self._agenda = job, metric, agenda
        self._candidates: list[_Candidate] = []
        self._failure: WdistError | None = None
        self.closed = False
        """Whether no other critic is worth its time."""

    def add(self, found: TrainedCritic | WdistError | None, spec: CriticSpec | None, *, parts: tuple[_Candidate, ...] = ()) -> None:
        """Records a critic unless it diverged."""
        if isinstance(found, TrainedCritic):
            value = self.job.interruption.completed(partial(_validated, found, self.job.pair, self._metric))
            self._candidates.append(_Candidate(critic=value.critic, fitted=found, spec=spec, validation=value.value, parts=parts))
            self.closed = self.closed or value.value - _SURELY * value.error >= _ENOUGH * self.job.ceiling
        elif found is not None:
            self._failure = found

    def prolong(self, budget: Budget, share: float) -> None:
        """Trains the best kind again, with a share of the budget less what a refit takes.

        Kinds that come close to it divide that share with it: a kind that starts slowly may overtake one that has converged.
        """
        pairs = [(each, each.spec) for each in self._candidates]
        trained = [(each, spec) for each, spec in pairs if spec is not None and spec.budget is not None]
        highest = max((each.validation for each, _ in trained), default=0.0)
        close = [(each, spec) for each, spec in trained if each.validation >= highest - _CLOSE * abs(highest)]
        share -= max((_kept_aside(spec, self.job.pair) for _, spec in close), default=0.0)
        rises = [_relative_rise(each.fitted.outcome, highest) for each, _ in close]
        for (each, spec), part in zip(close, _parts(rises), strict=True):
            if part * share > 0 and not self.closed:
                longer = replace(spec, kind=spec.kind.narrowed(each.fitted))
                (found,) = fit(longer, [self.job], budget.part(part * share), self._agenda)
                self.add(found, longer)

    def choose(self, budget: Budget | None) -> Selection | WdistError | None:
        """The best of all candidates and of the best two combined, fitted again with the validation samples."""
        if not self._candidates:
            return self._failure
        fitted = tuple(each.fitted for each in sorted(self._candidates, key=lambda each: each.validation, reverse=True))
        first = _best(self._candidates)
        others = [each for each in self._candidates if each.fitted.name != first.fitted.name and _complete(each, first)]
        if others and not self.closed:
            second = _best(others)

            def combined() -> TrainedCritic:
                self.job.begin()
                return _combined(first.critic, second.critic, pair=self.job.pair)

            self.add(self.job.interruption.attempt(combined), None, parts=(first, second))
        best = _best(self._candidates)
        tried = tuple(_attempt(each.critic, each.validation, chosen=each is best) for each in self._candidates)
        return Selection(critic=best.critic if self.closed else self._refitted(best, budget), tried=tried, fitted=fitted)

    def _refitted(self, candidate: _Candidate, budget: Budget | None) -> TrainedCritic:
        """A candidate fitted again with the validation samples, or combined again from such parts; its history is kept."""
        if candidate.critic is not candidate.fitted:
            return candidate.critic  # clipped at values of samples that it was not trained on
        if candidate.spec is not None:
            return _refitted(candidate.critic, candidate.spec, self.job, budget, self._agenda)
        parts = [self._refitted(each, budget) for each in candidate.parts]
        if all(new is old.critic for new, old in zip(parts, candidate.parts, strict=True)):
            return candidate.critic
        combine = partial(_combined, parts[0], parts[1], pair=self.job.pair.without_validation)
        combined = self.job.interruption.attempt(combine)
        return candidate.critic if combined is None else replace(combined, outcome=candidate.critic.outcome)


def _relative_rise(outcome: TrainingOutcome, highest: float) -> float:
    return math.inf if outcome.steps < _TELLING_STEPS else outcome.rise / (abs(highest) or 1.0)


def _parts(rises: Sequence[float]) -> list[float]:
    """Divides training time in proportion to how much each kind still gained at the end of its first training.

    Arguments:
        rises: in the last quarter of each first training, relative to the best value.
    """
    gains = [min(rise, _LARGEST_RISE) + _LEAST_RISE for rise in rises]
    worthwhile = [gain if gain >= _WORTHWHILE * max(gains) else 0.0 for gain in gains]
    return [gain / sum(worthwhile) for gain in worthwhile]


def _refittable(spec: CriticSpec, pair: Pair) -> RefittableKind | None:
    """The kind of a critic that can be fitted again with the validation samples; None for draws and streams, which have enough
    samples."""
    wider = pair.without_validation
    return spec.kind if isinstance(spec.kind, RefittableKind) and pair.a is not wider.a and pair.b is not wider.b else None


def _kept_aside(spec: CriticSpec, pair: Pair) -> float:
    """Fraction of a time budget that a refit may take."""
    return _REFIT_SHARE if _refittable(spec, pair) else 0.0


def _refitted(trained: TrainedCritic, spec: CriticSpec, job: TrainingJob, budget: Budget | None, agenda: Agenda) -> TrainedCritic:
    """Fits a critic again with the validation samples.

    The critic stays as it is if that takes too long, is interrupted, or lowers its value even on these samples.
    """
    longest = math.inf if budget is None or budget.seconds is None else _REFIT_SHARE * budget.seconds
    kind = _refittable(spec, job.pair)
    if kind is None or kind.refit_seconds(trained) > longest:
        return trained

    def again() -> TrainedCritic | None:
        if kind.trained:
            agenda.stage(f"training {trained.name} again, with the validation samples")
        began = now()
        found = kind.refit(spec, replace(job, pair=job.pair.without_validation, observer=Silent()), trained)
        worse = _provable(found, job.pair, spec.metric).value < _validated(trained, job.pair, spec.metric).value
        if worse or job.interruption.requested:
            return None
        outcome = replace(trained.outcome, seconds=trained.outcome.seconds + now() - began)
        return replace(found, outcome=outcome, settings=trained.settings)

    try:
        return processes().from_first("a refit", partial(job.interruption.attempt, again)) or trained
    except (TrainingDiverged, CertificateError):
        return trained


def improved(main: Selection, baselines: Sequence[TrainedCritic], pair: Pair, metric: GroundMetric) -> Selection:
    """Replaces the chosen critic by a baseline if its validation value exceeds those of all candidates."""
    if not main.tried or not baselines:
        return main
    judged = [(each, _provable(each, pair, metric)) for each in baselines]
    baseline, best = best_up_to_rounding(judged, lambda each: each[1].value)
    if best.value <= max(attempt.validation for attempt in main.tried):
        return main
    tried = (*(replace(attempt, chosen=False) for attempt in main.tried), _attempt(best.critic, best.value, chosen=True))
    return replace(main, critic=best.critic, tried=tried, fitted=(baseline, *main.fitted))


@dataclass(frozen=True, kw_only=True)
class _Validated:
    """A critic and its dual value on the validation split divided by its certificate, in the units of the data."""

    critic: TrainedCritic
    value: float
    error: float
    """Its standard error."""


def _validated(trained: TrainedCritic, pair: Pair, metric: GroundMetric) -> _Validated:
    """The validation value of a critic, which is clipped first if its tails are heavy."""
    most = max(_LEAST_VALIDATED, min(_VALIDATED_ROWS, _VALIDATED_NUMBERS // pair.a.info.dim))
    sides = [side.validation.some(most) for side in (pair.a, pair.b)]
    a, b = (evaluate_rows(trained.critic, side) for side in sides)
    values = torch.from_numpy(a.values), torch.from_numpy(b.values)
    # Multipliers prove a bound for the layers as they are.
    share = clipped_share(*values, errors=_SURELY) if trained.critic.multipliers is None else 0.0
    if share:
        head = clipped(trained.critic, *ends(*values, share))
        trained = replace(trained, name=f"clipped {trained.name}", title=f"{trained.title}, clipped", critic=head)
        a, b = (evaluate_rows(head, side) for side in sides)
    bound = certify(trained.critic, metric).lipschitz_bound
    error = math.sqrt(sum(float(side.values.var()) / len(side.values) for side in (a, b)))
    return _Validated(critic=trained, value=dual_value(a, b) / bound, error=error / bound)


def _provable(trained: TrainedCritic, pair: Pair, metric: GroundMetric) -> _Validated:
    """The validation value of a critic; minus infinity if it has no certificate."""
    try:
        return _validated(trained, pair, metric)
    except CertificateError:
        return _Validated(critic=trained, value=-math.inf, error=math.inf)


def _attempt(trained: TrainedCritic, validation: float, *, chosen: bool) -> Attempt:
    outcome = trained.outcome
    return Attempt(name=trained.name, validation=validation, seconds=outcome.seconds, steps=outcome.steps, chosen=chosen)


def _best(candidates: Sequence[_Candidate]) -> _Candidate:
    """The candidate with the largest validation value; among equal ones, the first that was tried."""
    return best_up_to_rounding(candidates, lambda each: each.validation)


def _complete(one: _Candidate, other: _Candidate) -> bool:
    """Whether two critics may complete each other: the best two projections on a line are nearly the same function."""
    return not all(isinstance(head := each.critic.critic.layers[0], Affine) and len(head.weight) == 1 for each in (one, other))


def _combined(first: TrainedCritic, second: TrainedCritic, *, pair: Pair) -> TrainedCritic:
    """The maximum or minimum of two critics, whichever has the larger dual value on the training split."""
    began = time.perf_counter()
    a, b = (side.training_sample(max(1, min(_BLEND_NUMBERS // side.info.dim, FIT_ROWS))) for side in (pair.a, pair.b))
    unit = first.critic.standardisation.spread * first.critic.lipschitz

    def potentials(critic: FrozenCritic, rows: ResidentRows) -> Tensor:
        return torch.from_numpy(evaluate_rows(critic, rows).values) / unit

    values = [(potentials(each.critic, a), potentials(each.critic, b)) for each in (first, second)]
    blend = best_blend(*values)
    return replace(
        first,
        name=f"{blend.how} of {first.name} and {second.name}",
        title="two critics combined",
        critic=blended(first.critic, second.critic, blend),
        outcome=TrainingOutcome(steps=0, seconds=time.perf_counter() - began, history=first.outcome.history, interrupted=False),
    )
