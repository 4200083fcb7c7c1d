"""Tightness: how close certified bounds come to known truths, beside other estimates.

On a pair with known W1, tightness is measured on fresh rows of an optimal coupling: the mean decrease of the critic along them,
over its certificate and over their mean length. No 1-Lipschitz function exceeds 1 there, and the noise of the draws cancels. Other
estimates from the same samples are shown for contrast: none is a bound for the populations, and the expected W1 of minibatches is
never below W1.

References:
    Fatras, Zine, Flamary, Gribonval & Courty (2020), Learning with minibatch Wasserstein: asymptotic and gradient properties.
    Feydy, Séjourné, Vialard, Amari, Trouvé & Peyré (2019), Interpolating between optimal transport and MMD using Sinkhorn
    divergences.
    Flamary et al. (2021), POT: Python optimal transport.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np
import ot
import torch
from torch import Tensor

from wdist.data.sources.pairs import KnownPair
from wdist.data.sources.source import EndlessSource
from wdist.errors import SourceError
from wdist.estimation.result import CriticResult, Estimate
from wdist.studies.bench.tightness_cases import FINITE, KNOWN, SIZES, FiniteCase, KnownCase, whole_set
from wdist.studies.bench.tightness_rows import FiniteRow, KnownRow, SeedRun, conclude
from wdist.studies.progress import SuiteProgress, seconds_of
from wdist.studies.study import Column, Conditions, Skipped, Study, StudyTable

_QUICK_SIZES = (None, 2_000)
_JUDGED_NUMBERS = 1 << 23  # coordinates of all fresh coupled rows together
_LEAST_JUDGED, _MOST_JUDGED = 1 << 13, 1 << 17  # limits for the number of fresh coupled rows, whatever their dimension
_CONTRAST_ROWS = 4_096
_COURSE_POINTS = 40
_AT_ONCE = 4_096
_JUDGE = 7_919_000  # seed of the rows that evaluate critics; no estimate uses it
_MINIBATCH, _MINIBATCHES = 64, 32
_SINKHORN_ROWS = 400
_REGULARISATION = 0.05  # regularisation of the Sinkhorn plans over the mean distance


def _measure(conditions: Conditions) -> Iterator[KnownRow | FiniteRow | Skipped]:
    sizes = _QUICK_SIZES if conditions.quick else SIZES
    known = [(case, size) for case in KNOWN for size in sizes if conditions.wanted(_named(case, size), quick=case.quick)]
    finite = [case for case in FINITE if conditions.wanted(case.name, quick=case.quick)]
    progress = SuiteProgress(conditions, runs=(len(known) + len(finite)) * len(conditions.seeds))
    works: list[tuple[str, Callable[[], Iterator[KnownRow | FiniteRow]]]] = [
        *((_named(case, size), partial(_known_row, case, size, conditions, progress)) for case, size in known),
        *((case.name, partial(_finite_row, case, conditions, progress)) for case in finite),
    ]
    for name, work in works:
        try:
            yield from conditions.rows(name, work)
        except SourceError as error:
            yield Skipped(name=name, reason=str(error))


def _named(case: KnownCase, size: int | None) -> str:
    """The name that ``--only`` selects by: ``cones-3 endless``, ``cones-3 2k``."""
    return f"{case.name} {'endless' if size is None else f'{size // 1000}k'}"


def _known_row(case: KnownCase, size: int | None, conditions: Conditions, progress: SuiteProgress) -> Iterator[KnownRow]:
    pair = case.make(conditions.data)
    x, y = coupled_rows(pair, case.dim)

    def run(seed: int) -> tuple[Estimate, float]:
        a, b = _sides(pair, size, seed)
        result = progress.estimate(f"{_named(case, size)}, seed {seed}", a, b, critic="auto", seed=seed, truth=pair.w1)
        return result, fall(result.critic, x, y)

    if found := _over_seeds(run, conditions):
        a, b = (side.numpy() for side in drawn(pair, size or _CONTRAST_ROWS, conditions.seed))
        yield KnownRow(
            name=case.name,
            samples=size,
            family=case.family,
            truth=pair.w1,
            truth_error=pair.w1_error,
            published=case.published if size is None else None,
            linear=linear_share(a, b, x.numpy(), y.numpy()),
            single_cone=single_cone_share(a, b, x.numpy(), y.numpy()),
            **_facts(found, a, b, pair.w1, conditions),
        )


def _finite_row(case: FiniteCase, conditions: Conditions, progress: SuiteProgress) -> Iterator[FiniteRow]:
    judged_on = "held-out split"

    def run(seed: int) -> tuple[Estimate, float]:
        nonlocal judged_on
        sets = case.open(conditions.data, seed)
        result = progress.estimate(f"{case.name}, seed {seed}", sets.a, sets.b, critic="auto", seed=seed)
        if sets.fresh is None:
            return result, result.population.estimate
        judged_on = "fresh samples"
        means = [_potentials(result.critic, torch.from_numpy(side)).mean() for side in sets.fresh]
        return result, float(means[0] - means[1]) / result.critic.lipschitz_bound

    if found := _over_seeds(run, conditions):
        sets = case.open(conditions.data, conditions.seed)
        a, b = _values(sets.a), _values(sets.b)
        facts = _facts(found, a, b, 1.0, conditions)
        yield FiniteRow(name=case.name, samples=min(len(a), len(b)), judged_on=judged_on, **facts)


def _facts(
    found: list[tuple[SeedRun, Estimate]], a: np.ndarray, b: np.ndarray, unit: float, conditions: Conditions
) -> dict[str, Any]:
    """Fields of both kinds of rows; distances are divided by ``unit``."""
    return {
        "dim": a.shape[1],
        "budget_seconds": seconds_of(conditions.budget),
        "runs": tuple(run for run, _ in found),
        "course": _course(found[0][1].critic, unit),
        "minibatch": minibatch_w1(a, b, seed=0) / unit,
        "sinkhorn": sinkhorn_divergence(a, b, seed=0) / unit,
    }


def _over_seeds(run: Callable[[int], tuple[Estimate, float]], conditions: Conditions) -> list[tuple[SeedRun, Estimate]]:
    """The runs of a row and their estimates; if the user stops the study, those that are done."""
    done = ((seed, conditions.interruption.attempt(partial(run, seed))) for seed in conditions.seeds)
    return [(_run(found[0], seed, found[1]), found[0]) for seed, found in done if found is not None]


def _run(result: Estimate, seed: int, fresh: float) -> SeedRun:
    return SeedRun(
        seed=seed,
        critic=result.critic.name,
        fresh=fresh,
        held_out=result.population.estimate,
        samples_lower=result.samples.lower,
        samples_upper=result.samples.upper,
        exact=result.samples.exact,
        population_lower=result.population.lower,
        population_upper=result.population.upper,
        certificate=result.critic.lipschitz_bound,
        steps=result.critic.steps,
        seconds=result.seconds,
    )


def coupled_rows(pair: KnownPair, dim: int) -> tuple[Tensor, Tensor]:
    """Fresh rows of an optimal coupling, both of shape (n, dim), float64."""
    assert pair.coupled is not None, "every pair of the study has one"
    count = min(max(_JUDGED_NUMBERS // dim, _LEAST_JUDGED), _MOST_JUDGED)
    return pair.coupled(count, torch.Generator().manual_seed(_JUDGE))


def _sides(pair: KnownPair, size: int | None, seed: int) -> tuple[EndlessSource | Tensor, EndlessSource | Tensor]:
    """The two sides of the estimate: the sources themselves, or samples of them."""
    if size is None:
        return pair.a, pair.b
    a, b = drawn(pair, size, seed)
    # An estimate refuses many copies of one point as a failed export, so a point mass stays an endless source.
    return pair.a if bool((a == a[0]).all()) else a, pair.b if bool((b == b[0]).all()) else b


def drawn(pair: KnownPair, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Independent samples of each side."""
    generator = torch.Generator().manual_seed(seed)
    return pair.a.draw(count, generator), pair.b.draw(count, generator)


def fall(critic: CriticResult, x: Tensor, y: Tensor) -> float:
    """Mean decrease of the potential from x to y, over the certificate and over their mean distance."""
    fallen = float((_potentials(critic, x) - _potentials(critic, y)).mean()) / critic.lipschitz_bound
    return fallen / float(torch.linalg.vector_norm(x - y, dim=1).mean())


def _potentials(critic: CriticResult, x: Tensor) -> Tensor:
    return torch.cat([critic.frozen.potentials(part.double()) for part in x.split(_AT_ONCE)])


def _values(side: Any) -> np.ndarray:
    """All samples of one side, shape (n, d), in the units of the estimate."""
    return side if isinstance(side, np.ndarray) else np.asarray(whole_set(side).numpy())


def _course(critic: CriticResult, unit: float) -> tuple[tuple[float, float], ...]:
    """Seconds of all trainings so far, including those of unselected critics, and the best validation value so far."""
    points: list[tuple[float, float]] = []
    passed = 0.0
    tried = [(attempt.chosen, attempt.seconds, attempt.validation) for attempt in critic.tried]
    alone = (True, critic.seconds, max((point.validation for point in critic.history), default=0.0))
    for chosen, seconds, validation in tried or [alone]:
        if chosen:
            every = -(-len(critic.history) // _COURSE_POINTS) or 1
            points += [(passed + point.seconds, point.validation) for point in critic.history[::every]]
        passed += seconds
        points.append((passed, validation))
    best = accumulate((max(value, 0.0) for _, value in points), max)
    return tuple((seconds, value / unit) for (seconds, _), value in zip(points, best, strict=True))


def minibatch_w1(a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    """Mean exact W1 of minibatches of 64 a side; its expectation is at least W1, and far above it in high dimension."""
    random = np.random.default_rng(seed)
    batches = [[_some(side, _MINIBATCH, random) for side in (a, b)] for _ in range(_MINIBATCHES)]
    return float(np.mean([ot.emd2([], [], ot.dist(x, y, metric="euclidean")) for x, y in batches]))


def sinkhorn_divergence(a: np.ndarray, b: np.ndarray, *, seed: int) -> float:
    """Sinkhorn divergence of at most 400 samples a side: cost of the entropic plan minus the mean cost of each side with itself."""
    random = np.random.default_rng(seed)
    x, y = (_some(side, _SINKHORN_ROWS, random) for side in (a, b))
    regularisation = _REGULARISATION * float(ot.dist(x, y, metric="euclidean").mean())
    if regularisation == 0:
        return 0.0
    # not in the log domain, which takes fifty times as long: exp(-20) of a mean distance is far above the smallest float64
    found = ot.bregman.empirical_sinkhorn_divergence(x, y, regularisation, metric="euclidean", numIterMax=500, warn=False)
    return float(found)


def _some(side: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    rows = random.choice(len(side), size=min(count, len(side)), replace=False)
    return np.ascontiguousarray(side[rows], dtype=np.float64)


def linear_share(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Tightness of the linear critic of samples a and b, from its mean decrease along coupled rows x and y."""
    direction = a.mean(0) - b.mean(0)
    length = float(np.linalg.norm(direction))
    return _share((x - y) @ (direction / length), x, y) if length else 0.0


def single_cone_share(a: np.ndarray, b: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Tightness of one cone, of either sign, around the mean of all samples."""
    centre = (a.mean(0) + b.mean(0)) / 2
    fall = np.linalg.norm(x - centre, axis=1) - np.linalg.norm(y - centre, axis=1)
    # The samples decide its sign, not the rows that evaluate it.
    rises = np.linalg.norm(a - centre, axis=1).mean() >= np.linalg.norm(b - centre, axis=1).mean()
    return _share(fall if rises else -fall, x, y)


def _share(fall: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    return float(fall.mean() / np.linalg.norm(x - y, axis=1).mean())


_PAIR = (Column("pair", "name"), Column("samples", lambda row: row.samples or "endless", "number"))
_INTERVAL = (
    Column("samples\n>=", "middle.samples_lower", "at least"),
    Column("samples\n<=", "middle.samples_upper", "at most"),
    Column("gap", "middle.gap", "share"),
    Column("time", "seconds", "seconds"),
    Column("critic", "critics"),
)

STUDY = Study(
    name="tightness",
    title="How much of the truth the certified interval reaches",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=(
        StudyTable(
            "shares of the truth",
            KnownRow,
            *_PAIR,
            Column("tight-\nness", "fresh", spread="spread", kind="share"),
            Column("pub-\nlished", "published", "share"),
            Column("linear", kind="share"),
            Column("mini-\nbatch", "minibatch", "share"),
            Column("Sink-\nhorn", "sinkhorn", "share"),
        ),
        StudyTable("intervals of the seed of median tightness", KnownRow, *_PAIR, *_INTERVAL),
        StudyTable("finite sets", FiniteRow, *_PAIR, Column("fresh\nvalue", "fresh", spread="spread"), *_INTERVAL),
    ),
    seeds=3,
    budget="2m",
    quick_budget="5s",
    takes_data=True,
    reduced=("8 of 60 pairs, and 1 of 4 finite sets", "no files of 20,000 samples"),
)
