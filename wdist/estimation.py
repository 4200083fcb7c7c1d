"""``estimate``: from two sources to bounds for the Wasserstein-1 distance between them."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from wdist.confidence import check_method
from wdist.critics.catalogue import MAIN
from wdist.critics.catalogue import baselines as named_baselines
from wdist.critics.settings import CriticSettings
from wdist.device import choose_device
from wdist.errors import UsageError
from wdist.measures.pairing import Pair, open_pair
from wdist.measures.rows import gather
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
    recipes = (MAIN, *named_baselines(baselines))
    chosen_budget = _budget(budget, steps)
    chosen_device = choose_device(device)
    observer = observer or Silent()
    observer.notify(Stage(what="reading and checking the samples"))
    pair = open_pair(a, b, access=access or Access(seed=seed), seed=seed, device=chosen_device)
    if pair.identical:
        recipes, chosen_budget = (MAIN,), Budget(steps=1)
    statement = Statement(confidence=confidence, method=ci, bounds=len(recipes))
    results: list[CriticResult] = []
    try:
        check_method(ci, diameters(pair))
        for position, recipe in enumerate(recipes, start=1):
            results.append(
                run_trial(
                    recipe,
                    pair,
                    settings=settings or CriticSettings(),
                    budget=chosen_budget,
                    statement=statement,
                    seed=seed,
                    device=chosen_device,
                    observer=observer,
                    position=position,
                    critics=len(recipes),
                )
            )
            if results[-1].interrupted:
                break
        interrupted = results[-1].interrupted
        coupling = None if interrupted else _coupling(pair, seed, observer)
    except KeyboardInterrupt:
        if not results:
            raise
        interrupted, coupling = True, None
    finally:
        pair.close()
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
        warnings=pair.warnings,
        interrupted=interrupted,
    )


def _budget(budget: Budget | str | None, steps: int | None) -> Budget | None:
    if budget is not None and steps is not None:
        raise UsageError("--steps and --budget exclude each other; give one of them")
    if steps is not None:
        return Budget(steps=steps)
    return Budget.parse(budget) if isinstance(budget, str) else budget


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
