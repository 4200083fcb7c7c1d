"""Warnings of an estimate: what it does not state or may have wrong, why, and what to do."""

import math
from collections.abc import Iterator, Sequence
from functools import partial

from wdist.bounds.digits import per_cent
from wdist.data.measure import ENOUGH_HELD_OUT
from wdist.data.pairing import Pair
from wdist.distributed.processes import processes
from wdist.estimation.blocks import LEAST_GROUPS, BlockPlan, Blocks, rows_for_blocks
from wdist.estimation.evaluation import ErrorBudget, reading_seconds
from wdist.estimation.result import CriticResult, TransportBounds
from wdist.estimation.run import Run
from wdist.estimation.semi_discrete import LEAST_DRAWS, drawn_against_samples
from wdist.estimation.transport_bounds import most_provable

_READING_SHARE = 1 / 2
"""Fraction of the time planned for the upper bound for the populations that reading the samples may take."""


def slow_reading(pair: Pair, run: Run) -> Iterator[str]:
    """Warns if reading all samples of a stream takes too long for an upper bound for the populations."""
    if math.isinf(run.most_population_seconds) or not run.options.couplings:
        return
    if pair.a.streamed or pair.b.streamed:
        reading = processes().from_first("time of reading", partial(reading_seconds, pair))
        if reading > _READING_SHARE * run.most_population_seconds:
            yield (
                f"reading all samples takes about {reading:,.2g} s, too long for the {run.most_population_seconds:,.3g} s planned "
                "for an upper bound for the populations, so none is computed; give a longer --budget"
            )


def no_population_upper(bounds: TransportBounds, errors: ErrorBudget, run: Run) -> Iterator[str]:
    """Explains a missing upper bound for the populations."""
    if bounds.unvaried:
        yield (
            "all parts of the samples are equally far apart, which says nothing about values that were not drawn, so there is no "
            "upper bound for the populations; state the range of stored values in the addresses, such as ?stored=0:1"
        )
    elif errors.upper_bound and bounds.population_upper is None and run.limit is not None and not run.interruption.requested:
        yield (
            f"transport between independent blocks took longer than the {run.most_population_seconds:,.3g} s planned for it, so "
            "there is no upper bound for the populations; give a longer --budget"
        )


def no_blocks(pair: Pair, plan: BlockPlan | None, block: Blocks | None, run: Run) -> Iterator[str]:
    """Explains a missing distance between blocks."""
    if plan is not None and block is None and not run.interruption.requested:
        late = "" if run.limit is None else "transport between them took longer than planned (give a longer --budget), or "
        yield (
            f"the distance between blocks of {plan.size} samples is left out: {late}all blocks are equally far apart, which says "
            "nothing about values that were not drawn"
        )
    if plan is None and run.options.blocks and not pair.identical:
        needed, fewest = 2 * LEAST_GROUPS * run.options.blocks, min(rows.count for rows in rows_for_blocks(pair))
        yield f"--blocks {run.options.blocks} needs at least {needed:,} samples of each side, not {fewest:,}; give smaller blocks"


def few_draws(pair: Pair, run: Run) -> Iterator[str]:
    """Warns if the requested draws are too few for the level reference."""
    draws = run.options.draws
    if run.options.couplings and drawn_against_samples(pair) and draws is not None and draws < LEAST_DRAWS:
        yield (
            f"--draws {draws} is too few to bound W1 from the samples of A to the distribution of B (the level reference); "
            f"give at least {LEAST_DRAWS}"
        )


def no_upper_bound(pair: Pair, bounds: TransportBounds, run: Run) -> Iterator[str]:
    """Explains a missing upper bound for the samples."""
    if run.options.couplings and bounds.coupling is None and (pair.a.digest is not None or pair.b.digest is not None):
        n, m = pair.a.everything.count, pair.b.everything.count
        planned = run.transport_seconds if math.isinf(run.most_transport_seconds) else run.most_transport_seconds
        yield (
            f"coupling {n:,} and {m:,} samples would take far longer than the {planned:.3g} seconds planned for it, "
            f"so there is no upper bound; give a longer --budget, or fewer samples"
        )


def unproved(pair: Pair, bounds: TransportBounds) -> Iterator[str]:
    """Warns if a proof cannot hold the upper bounds."""
    if not bounds.kept:
        n, m = pair.a.everything.count, pair.b.everything.count
        yield (
            f"the coupling of {n:,} and {m:,} samples is too large to be kept, so a saved proof leaves out its upper bounds; "
            f"to prove them again, give at most {most_provable(pair):,} samples in total, for example with ?limit="
        )


def few_held_out(main: CriticResult, errors: ErrorBudget, command: str) -> Iterator[str]:
    """Warns if an asymptotic bound rests on few held-out samples."""
    sides = ("rows", "recombined rows") if command == "dependence" else ("samples of A", "samples of B")
    counts = dict(zip(sides, (main.population.n_a, main.population.n_b), strict=True))
    few = [f"{count} {side}" for side, count in counts.items() if count < ENOUGH_HELD_OUT]
    if errors.method == "welch" and few:
        yield (
            f"only {' and '.join(few)} were held out; the bound for the populations relies on the normal approximation of their "
            f"means and may be wrong more often than stated; give more samples"
        )


def contradictions(results: Sequence[CriticResult]) -> Iterator[str]:
    """Warns if the bounds of a critic for the populations exclude each other."""
    wrong = next((result for result in results if result.population.contradictory), None)
    if wrong is not None:
        yield (
            f"the bounds for the populations ({wrong.name}) exclude each other, so one of them is wrong; at "
            f"{per_cent(wrong.population.confidence)} confidence that is rare, but possible; more samples, or another --seed for "
            f"the split, would show which one"
        )
