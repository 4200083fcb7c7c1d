"""``estimate``: from two sources to bounds for the Wasserstein-1 distance between them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import torch

from wdist.confidence import check_method
from wdist.critics.catalogue import MAIN
from wdist.critics.catalogue import baselines as named_baselines
from wdist.critics.recipe import CriticRecipe
from wdist.critics.settings import CriticSettings
from wdist.device import choose_device
from wdist.errors import UsageError
from wdist.measures.pairing import Pair, open_pair
from wdist.measures.rows import gather
from wdist.measures.split import ENOUGH_HELD_OUT
from wdist.primal import Coupling, Effort, upper_bound
from wdist.provenance import environment
from wdist.result import CriticResult, Estimate
from wdist.sources.memory import free_memory
from wdist.sources.source import Access
from wdist.training.budget import Budget
from wdist.training.observer import Observer, Silent, Stage
from wdist.trial import Statement, diameters, run_trial

TRANSPORT_SECONDS = 20.0
"""That the upper bound for two sample sets may take, as predicted."""
_PREVIEW_ROWS = 1000


def estimate(
    a: Any,
    b: Any,
    *,
    settings: CriticSettings | None = None,
    budget: Budget | str | None = None,
    steps: int | None = None,
    baselines: str | Sequence[str] = "default",
    confidence: float = 0.95,
    ci: str = "welch",
    seed: int = 0,
    device: str = "auto",
    access: Access | None = None,
    observer: Observer | None = None,
    truth: float | None = None,
    command: str = "estimate",
) -> Estimate:
    r"""Bounds the Wasserstein-1 distance between two sample sets, and between the distributions behind them.

    A critic f with a proved Lipschitz constant K is trained to make E_A f - E_B f large; by Kantorovich-Rubinstein duality that
    difference over K is a lower bound for W1 whatever the training did. For the two sample sets it is evaluated on all samples and
    holds as it stands; for the distributions it is evaluated on samples that nothing was chosen by, and holds at ``confidence``.
    The upper bound for the sample sets is the cost of an explicit coupling.

    Arguments:
        a, b: two addresses (``a.h5``, ``synthetic:gaussian?dim=10``), tensors, arrays or open sources; samples come first.
        settings: of critic and training; what is left open follows from the shape of the data.
        budget: for each critic: a :class:`~wdist.training.budget.Budget` or a length of time such as ``"2m"``.
        steps: for each critic, instead of a budget.
        baselines: ``none``, ``default``, ``all``, or names: critics trained beside the main one on the same budget.
        confidence: of all population bounds of the result together.
        ci: ``welch`` or ``empirical-bernstein``.
        seed: of splits, draws, weights and minibatches.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        access: what opening the sources may do.
        observer: is told how far the work is.
        truth: the known W1 of the two distributions, shown beside the bounds.
        command: the name of the caller, for the document.

    Returns:
        The estimate, in the units of the data. After Ctrl-C in training: what is proved so far, with ``interrupted`` set.

    Raises:
        WdistError: bad input, a device that is not there, or a training that diverged before anything was proved.

    References:
        Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.2.
    """
    began = time.perf_counter()
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence}")
    if seed < 0:
        raise UsageError(f"--seed must not be negative, and {seed} is")
    recipes, chosen_budget, chosen_device = (MAIN, *named_baselines(baselines)), _budget(budget, steps), choose_device(device)
    observer = observer or Silent()
    observer.notify(Stage(what="reading and checking the samples"))
    with closing(open_pair(a, b, access=access or Access(seed=seed), seed=seed, device=chosen_device)) as pair:
        check_method(ci, diameters(pair))
        if pair.identical:
            recipes, chosen_budget = (MAIN,), Budget(steps=1)
        trial = partial(
            run_trial,
            pair=pair,
            settings=settings or CriticSettings(),
            budget=chosen_budget,
            statement=Statement(confidence=confidence, method=ci, bounds=len(recipes)),
            seed=seed,
            device=chosen_device,
            observer=observer,
            critics=len(recipes),
        )
        results, interrupted = _until_interrupted(trial, recipes)
        coupling = None
        if not interrupted:
            try:
                coupling = _coupling(pair, seed, observer)
            except KeyboardInterrupt:
                interrupted = True
    main, *others = (_with_upper_end(result, coupling) for result in results)
    return Estimate(
        command=command,
        critic=main,
        baselines=tuple(others),
        a=pair.a.info,
        b=pair.b.info,
        digest_a=pair.a.digest,
        digest_b=pair.b.digest,
        metric="l2",
        seed=seed,
        truth=truth,
        seconds=time.perf_counter() - began,
        environment=environment(chosen_device),
        preview=_preview(pair),
        warnings=(*pair.warnings, *_few_held_out(pair, ci)),
        interrupted=interrupted,
    )


def _budget(budget: Budget | str | None, steps: int | None) -> Budget | None:
    if budget is not None and steps is not None:
        raise UsageError("--steps and --budget exclude each other; give one of them")
    if steps is not None:
        return Budget(steps=steps)
    return Budget.parse(budget) if isinstance(budget, str) else budget


def _until_interrupted(trial: Callable[..., CriticResult], recipes: Sequence[CriticRecipe]) -> tuple[list[CriticResult], bool]:
    """One result for each recipe, or for those that were done when Ctrl-C came; and whether it came."""
    results: list[CriticResult] = []
    try:
        for position, recipe in enumerate(recipes, start=1):
            results.append(trial(recipe, position=position))
            if results[-1].interrupted:
                return results, True
    except KeyboardInterrupt:
        if not results:
            raise
        return results, True
    return results, False


def _few_held_out(pair: Pair, ci: str) -> Iterator[str]:
    for name, measure in (("A", pair.a), ("B", pair.b)):
        if ci == "welch" and measure.held_out.count < ENOUGH_HELD_OUT:
            yield (
                f"only {measure.held_out.count} samples of {name} were held out; the bound for the populations rests on the "
                f"normal approximation of their mean and may be wrong more often than it says; give more samples"
            )


def _coupling(pair: Pair, seed: int, observer: Observer) -> Coupling | None:
    """An upper end for the two sample sets, solved in standardised units, so that nothing overflows."""
    if pair.identical:
        return Coupling(cost=0.0, exact=True, method="A and B are the same")
    a, b = pair.a.everything, pair.b.everything
    drawn = pair.a.digest is None and pair.b.digest is None
    observer.notify(Stage(what=f"transport between {a.count} and {b.count} samples"))
    coupling = upper_bound(
        a,
        b,
        prepare=lambda x: pair.standardisation.apply(x.cpu()),
        # Two sets of draws are nobody's samples: only an upper bound that costs nothing is worth stating.
        effort=Effort(seconds=0.0 if drawn else TRANSPORT_SECONDS, nbytes=free_memory() // 2),
        seed=seed,
    )
    return coupling and replace(coupling, cost=coupling.cost * pair.standardisation.spread)


def _with_upper_end(result: CriticResult, coupling: Coupling | None) -> CriticResult:
    if coupling is None:
        return result
    samples = replace(result.samples, upper=coupling.cost, exact=coupling.exact, upper_method=coupling.method)
    return replace(result, samples=samples)


def _preview(pair: Pair) -> tuple[torch.Tensor, torch.Tensor] | None:
    if pair.a.info.dim > 2:
        return None
    return gather(pair.a.held_out, _PREVIEW_ROWS), gather(pair.b.held_out, _PREVIEW_ROWS)
