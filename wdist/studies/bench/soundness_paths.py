"""Paths of the soundness suite: each computes bounds for one problem as a command would, with small settings."""

import math
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path as FilePath
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.bounds.certificate import certify
from wdist.bounds.digits import at_least, at_most
from wdist.bounds.dual import PROOF, lower_bound
from wdist.critics.c_transform import c_transform
from wdist.critics.frozen import FrozenCritic
from wdist.critics.settings import LARGEST_LIPSCHITZ, LEAST_LIPSCHITZ, CriticSettings
from wdist.data.access import Access
from wdist.data.pairing import Pair, open_pair
from wdist.data.sources.arrays import open_values
from wdist.data.standardisation import Standardisation
from wdist.errors import WdistError
from wdist.estimation.estimate import run_estimate
from wdist.estimation.evaluation import ErrorBudget, evaluate_critic
from wdist.estimation.options import KL, EstimateOptions
from wdist.estimation.proof import proof_of_estimate
from wdist.estimation.result import Estimate, SamplesInterval
from wdist.estimation.statement import Ends
from wdist.estimation.transport_bounds import TransportBounds, closing_lower, transport_bounds
from wdist.estimation.verification import Verification, verify
from wdist.files import PROOF_SUFFIX
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.lipschitz.frozen_layers import Envelope
from wdist.studies.bench.soundness_divergence import divergence
from wdist.studies.bench.soundness_forgeries import forged
from wdist.studies.bench.soundness_layers import random_layers
from wdist.studies.bench.soundness_problems import Problem, draw_problem, draw_translation
from wdist.studies.bench.soundness_truth import Extended, Truth, distances, w1, w1_of_translation, w1_on_the_line
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.kind import DataShape, TrainingJob
from wdist.transport.blocks import Work, block_coupling
from wdist.transport.column_generation import column_generation
from wdist.transport.coupling import Coupling, Effort, Plan, Sides, cost_above
from wdist.transport.pricing import LARGEST

CPU = torch.device("cpu")
_SMALL = {"width": 8, "depth": 3, "group_size": 4, "batch_size": 8, "centres": 4}
_QUICK = tuple(name for name in CATALOGUE if name != "groupsort-conv")
"""All critics except the one for images."""
_SHOWN_DIGITS = (3, 5)
_FOLDED = 0.05
"""Share of estimates with folds."""
_FORGED = 3
"""Number of forged copies of each proof."""
_LEAST, _MANY = 20, 4000
"""Smallest number of samples a side of an estimate, and number of those that take several seconds."""
_EXPONENTS = ((-250,), (250,), (-160, -160), (140, 130), (-150, -150), (-300,), (3, -8), (1, 1, 1), (-200, 200))
"""Exponents of the powers of ten by which some layers multiply and later ones divide."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One computed bound."""

    end: str
    """``lower`` or ``upper``."""
    value: float
    what: str
    truth: Truth | None = None
    """The bounded distance; None for W1 of the problem."""


Claims = Callable[[Problem, Truth], Iterator[Claim]]
"""Computes bounds for a problem; its truth serves only to build critics that nearly attain it."""


@dataclass(frozen=True, kw_only=True)
class Path:
    """One way to compute bounds, and the problems that it gets."""

    name: str
    share: float
    """Share of all trials."""
    claims: Claims
    draw: Callable[[np.random.Generator], Problem]
    truth: Callable[[Problem], Truth]
    least: int = 1
    """Smallest number of samples a side."""


def _small_truth(problem: Problem) -> Truth:
    return w1(*problem.exact, problem.metric.p, by_program=problem.seed % 10 == 0)


def _line_truth(problem: Problem) -> Truth:
    x, y = problem.exact
    return w1_on_the_line(x[:, 0], y[:, 0])


def _translation_truth(problem: Problem) -> Truth:
    return w1_of_translation(*problem.exact, problem.metric.p)


def _in_units(problem: Problem) -> tuple[Tensor, Tensor]:
    """Both sides in float64, in the units that critics take."""
    sources = (open_values(side) for side in (problem.x, problem.y))
    x, y = (source.read(slice(0, source.count)).double() * source.info.scale for source in sources)
    return x, y


def _of_random_critic(problem: Problem, _: Truth) -> Iterator[Claim]:
    """A critic of random layers, from vanishing to huge: its lower bound, and its steepest slope between two samples."""
    random, (x, y) = np.random.default_rng(problem.seed), _in_units(problem)
    standardisation = Standardisation.fit(x, y)
    if random.random() < 0.2:
        standardisation = Standardisation(shift=standardisation.shift, spread=float(10.0 ** random.uniform(-320, 300)))
    lipschitz = float(10.0 ** random.integers(-6, 7))
    critic = FrozenCritic(random_layers(random, x.shape[1]), standardisation, lipschitz=lipschitz)
    yield from _of_critic(critic, problem, x, y)


def _of_critic(critic: FrozenCritic, problem: Problem, x: Tensor, y: Tensor) -> Iterator[Claim]:
    a, b, K = critic.evaluate(x), critic.evaluate(y), certify(critic, problem.metric).lipschitz_bound
    yield Claim(end="lower", value=lower_bound(a, b, K, margin=PROOF), what="dual value")
    if not math.isfinite(a.rounding + b.rounding):
        return
    D = distances(*problem.exact, problem.metric.p) * (1 + Extended(1e-17))
    apart = np.abs(a.values.astype(Extended)[:, None] - b.values.astype(Extended)[None]) - a.rounding - b.rounding
    steepest = np.unravel_index(np.argmax(apart - K * D), D.shape)
    slope = float(np.nextafter(float(apart[steepest] / K), -math.inf))
    yield Claim(end="lower", value=slope, what="difference of two potentials", truth=Truth(low=D[steepest], high=D[steepest]))


def _of_optimal_critic(problem: Problem, truth: Truth) -> Iterator[Claim]:
    """The critic of the optimal potentials, which attains W1 up to rounding, alone or followed by layers that undo each other."""
    assert truth.potentials is not None
    random, (x, y) = np.random.default_rng(problem.seed), _in_units(problem)
    standardisation = Standardisation.fit(x, y)
    u, v = (torch.from_numpy((side / Extended(standardisation.spread)).astype(np.float64)) for side in truth.potentials)
    critic = c_transform((x, y), (u, v), standardisation, problem.metric)
    undoing: list[FrozenLayer] = []
    if random.random() < 0.5:
        factors = [10.0**exponent for exponent in _EXPONENTS[random.integers(len(_EXPONENTS))]]
        scales = [*factors, *[1 / factor for factor in reversed(factors)]]
        undoing = [Affine(weight=torch.tensor([[scale]], dtype=torch.float64), bias=torch.zeros(1)) for scale in scales]
    layers: list[FrozenLayer] = [*critic.layers, *undoing]
    if random.random() < 0.3:
        constants = torch.tensor([0.0, -1e3], dtype=torch.float64)
        layers = [Envelope(how="maximum", branches=[layers, random_layers(random, x.shape[1], nested=True)], constants=constants)]
    yield from _of_critic(FrozenCritic(layers, standardisation), problem, x, y)


def _of_estimate(problem: Problem, _: Truth) -> Iterator[Claim]:
    """A whole estimate with one critic and a few steps: every interval for the samples, also as rounded for display."""
    found = _estimated(problem, np.random.default_rng(problem.seed))
    yield from _of_interval(found.samples, "of the result")
    for each in found.critics:
        yield from _of_interval(each.samples, each.name)


def _estimated(problem: Problem, random: np.random.Generator, *, lambda_: float | None = None) -> Estimate:
    """Makes an estimate with one critic and a few steps; with a lambda, it also bounds the divergence."""
    name = "auto" if random.random() < 0.05 else str(random.choice(_QUICK))
    accepts = frozenset(_SMALL) - {"group_size"} if name == "auto" else CATALOGUE[name].accepts
    settings = _settings(accepts, lipschitz=float(10.0 ** random.integers(-6, 7)) if random.random() < 0.3 else None)
    trained = name == "auto" or lambda_ is not None or CATALOGUE[name].trained
    steps = int(random.integers(1, 6)) if trained else None
    folds = int(random.integers(2, 4)) if random.random() < _FOLDED else None
    options = EstimateOptions.validated(
        critic=name,
        baselines="none",
        settings=settings,
        steps=steps,
        metric=problem.metric.name,
        seed=problem.seed % 1000,
        folds=folds if lambda_ is None else None,
        divergence=None if lambda_ is None else KL,
        lambda_=lambda_,
    )
    return run_estimate(problem.x, problem.y, options)


def _of_proof(problem: Problem, _: Truth) -> Iterator[Claim]:
    """A proof, which must be confirmed, and forged copies: the bounds that verification proves, and claims that it confirms."""
    yield from _of_proof_and_forgeries(problem, np.random.default_rng(problem.seed), lambda_=None)


def _of_divergence(problem: Problem, truth: Truth) -> Iterator[Claim]:
    """Like :func:`_of_proof`, for a proof about a divergence, with W1 times lambda between 0.1 and 100 nats."""
    random, typical = np.random.default_rng(problem.seed), float(truth.high)
    lambda_ = 10.0 ** random.uniform(-1, 2) / typical if typical > 0 else 0.0
    if LEAST_LIPSCHITZ <= lambda_ <= LARGEST_LIPSCHITZ and _divergence_of(problem, lambda_) is not None:
        yield from _of_proof_and_forgeries(problem, random, lambda_=lambda_)


def _divergence_of(problem: Problem, lambda_: float) -> Truth | None:
    return divergence(*problem.exact, problem.metric.p, lambda_)


def _of_proof_and_forgeries(problem: Problem, random: np.random.Generator, *, lambda_: float | None) -> Iterator[Claim]:
    proof = proof_of_estimate(_estimated(problem, random, lambda_=lambda_))
    with TemporaryDirectory() as folder:
        path = FilePath(folder) / f"proof{PROOF_SUFFIX}"
        path.write_bytes(proof)
        found = verify(path, problem.x, problem.y)
        wrong = [finding for finding in found.findings if not finding.ok]
        assert not wrong, f"a saved proof is not confirmed: {wrong}"
        yield from _of_verification(problem, found, "as verified")
        for _ in range(_FORGED):
            path.write_bytes(forged(proof, random))
            try:
                found = verify(path, problem.x, problem.y)
            except WdistError:
                continue
            if found.estimate.metric != problem.metric.name:
                continue
            yield from _of_verification(problem, found, "as a forged proof proves")


def _of_verification(problem: Problem, found: Verification, what: str) -> Iterator[Claim]:
    """The bounds that a verification proves and, if it confirms all claims, the claims."""
    claims = found.claims
    yield from _of_interval(found.estimate.samples, what)
    if found.ok:
        yield from _of_ends(claims.samples, "as claimed and confirmed")
    kl = found.estimate.divergence
    if kl is None or claims.divergence is None:
        return
    truth = _divergence_of(problem, kl.lambda_)
    if truth is None:
        return
    yield from _of_ends(Ends(lower=kl.samples.lower, upper=kl.samples.upper), f"of the divergence, {what}", truth)
    if found.ok:
        yield from _of_ends(claims.divergence.samples, "of the divergence, as claimed and confirmed", truth)


def _of_ends(ends: Ends, what: str, truth: Truth | None = None) -> Iterator[Claim]:
    yield Claim(end="lower", value=ends.lower, what=what, truth=truth)
    if ends.upper is not None:
        yield Claim(end="upper", value=ends.upper, what=what, truth=truth)


def _settings(accepts: frozenset[str], *, lipschitz: float | None = None) -> CriticSettings:
    """Settings of a small critic, as far as the critic accepts them."""
    small: dict[str, Any] = {name: value for name, value in _SMALL.items() if name in accepts}
    return CriticSettings(lipschitz=lipschitz, **small)


def _of_interval(interval: SamplesInterval, what: str) -> Iterator[Claim]:
    yield Claim(end="lower", value=interval.lower, what=f"{interval.lower_method}, {what}")
    for digits in _SHOWN_DIGITS:
        yield Claim(end="lower", value=float(at_least(interval.lower, digits)), what=f"{digits} digits, {what}")
        if interval.upper is not None and math.isfinite(interval.upper):
            yield Claim(end="upper", value=float(at_most(interval.upper, digits)), what=f"{digits} digits, {what}")
    if interval.upper is not None:
        yield Claim(end="upper", value=interval.upper, what=f"{interval.upper_method}, {what}")


def _opened(problem: Problem, *, in_memory: bool = True) -> Pair:
    return open_pair(problem.x, problem.y, access=Access(), seed=problem.seed % 1000, device=CPU, in_memory=in_memory)


def _of_bounds(bounds: TransportBounds) -> Iterator[Claim]:
    yield Claim(end="lower", value=bounds.lower, what="optimal potentials")
    if bounds.coupling is not None:
        yield Claim(end="upper", value=bounds.coupling.cost, what=bounds.coupling.method)


def _of_coupling(pair: Pair, coupling: Coupling, problem: Problem) -> Iterator[Claim]:
    """Both bounds from a coupling in standardised units, with the smaller margin of verification."""
    scaled = coupling.scaled(pair.standardisation.spread)
    lower = closing_lower(pair, scaled.potentials, problem.metric, margin=PROOF)
    yield from _of_bounds(TransportBounds(coupling=scaled, lower=lower))


def _of_transport(problem: Problem, _: Truth, *, seconds: float = 20.0) -> Iterator[Claim]:
    with closing(_opened(problem)) as pair:
        yield from _of_bounds(transport_bounds(pair, problem.metric, seed=problem.seed % 1000, seconds=seconds))


def _of_columns(problem: Problem, _: Truth) -> Iterator[Claim]:
    """Column generation with a dense solver for a few samples only."""
    random = np.random.default_rng(problem.seed)
    with closing(_opened(problem)) as pair:
        x, y = pair.standardised
        if max(float(side.abs().max()) for side in (x, y)) > LARGEST:
            return
        masses = np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y))
        generated = column_generation(
            x,
            y,
            *masses,
            problem.metric,
            tolerance=float(random.choice([1e-1, 1e-3, 1e-9])),
            rounds=int(random.integers(1, 9)),
            seed=problem.seed,
            small=int(random.integers(6, 18)),
        )
        assert generated is not None, "nothing interrupts it"
        found = generated.plan
        coupling = Coupling(
            cost=cost_above(x, y, *masses, found, problem.metric),
            exact=False,
            method="column generation",
            plan=Plan(rows=found.rows, columns=found.columns, mass=found.mass),
            potentials=found.potentials,
        )
        yield from _of_coupling(pair, coupling, problem)


def _of_blocks(problem: Problem, _: Truth) -> Iterator[Claim]:
    """A coupling from a tree of halves in several parts, improved by blocks of a few samples."""
    random = np.random.default_rng(problem.seed)
    work = Work(parts=int(random.integers(1, 4)), size=int(random.integers(2, 9)), rounds=int(random.integers(0, 4)))
    with closing(_opened(problem, in_memory=bool(random.integers(2)))) as pair:
        sides = Sides(a=pair.a.everything, b=pair.b.everything, prepare=pair.standardisation.apply, metric=problem.metric)
        coupling = block_coupling(sides, effort=Effort(), seed=problem.seed, work=work)
        assert coupling is not None, "the work is given"
        yield from _of_coupling(pair, coupling, problem)


def _of_stream(problem: Problem, _: Truth) -> Iterator[Claim]:
    """Bounds for streamed samples: transport, and a critic trained batch by batch."""
    random = np.random.default_rng(problem.seed)
    kind = CATALOGUE[str(random.choice(["groupsort-bjorck", "relu-spectral"]))]
    settings = _settings(kind.accepts)
    with closing(_opened(problem, in_memory=False)) as pair:
        yield from _of_bounds(transport_bounds(pair, problem.metric, seed=problem.seed % 1000, seconds=20.0))
        spec = kind.resolve(settings, DataShape.of(pair), problem.metric)
        job = TrainingJob(pair=pair, seed=problem.seed % 1000, device=CPU)
        trained = kind.fit(spec, job, Budget(steps=3))
        errors = ErrorBudget(confidence=0.95, method="welch")
        result = evaluate_critic(trained, pair, errors, metric=problem.metric, seed=0)
        yield from _of_interval(result.samples, kind.name)


def _of_many(problem: Problem, truth: Truth) -> Iterator[Claim]:
    """Transport between thousands of samples, in so little time that blocks or column generation are chosen."""
    order = torch.from_numpy(np.random.default_rng(problem.seed).permutation(len(problem.y)))
    yield from _of_transport(replace(problem, y=problem.y[order]), truth, seconds=1.0 if len(problem.x) < _MANY else 3.5)


def _draw_many(random: np.random.Generator) -> Problem:
    n, dim = (2500, 2) if random.integers(2) else (_MANY, 5)
    return draw_translation(random, n=n, dim=dim)


_split = partial(draw_problem, least=_LEAST, most=40)
PATHS = (
    Path(name="random critics", share=0.37, claims=_of_random_critic, draw=draw_problem, truth=_small_truth),
    Path(name="optimal critics", share=0.3, claims=_of_optimal_critic, draw=draw_problem, truth=_small_truth),
    Path(name="estimates", share=0.05, claims=_of_estimate, draw=_split, truth=_small_truth, least=_LEAST),
    Path(name="exact transport", share=0.1, claims=_of_transport, draw=_split, truth=_small_truth, least=_LEAST),
    Path(name="column generation", share=0.05, claims=_of_columns, draw=_split, truth=_small_truth, least=_LEAST),
    Path(name="blocks", share=0.03, claims=_of_blocks, draw=_split, truth=_small_truth, least=_LEAST),
    Path(name="streams", share=0.005, claims=_of_stream, draw=_split, truth=_small_truth, least=_LEAST),
    Path(
        name="the line",
        share=0.0797,
        claims=_of_transport,
        draw=partial(draw_problem, least=_LEAST, most=1000, dims=(1,)),
        truth=_line_truth,
        least=_LEAST,
    ),
    Path(name="proofs", share=0.01, claims=_of_proof, draw=_split, truth=_small_truth, least=_LEAST),
    Path(name="divergences", share=0.005, claims=_of_divergence, draw=_split, truth=_small_truth, least=_LEAST),
    Path(name="thousands", share=0.0003, claims=_of_many, draw=_draw_many, truth=_translation_truth, least=_MANY),
)
"""All paths; their shares add up to 1."""
