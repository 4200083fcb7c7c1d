r"""The pool of a comparison: the critics of all its sources, from which each source is judged by the one that finds most.

A critic trained for a distant source often finds more of a small difference in the same direction than the critic of the near
source itself, whose training saw mostly noise. For each fold, a source is judged by the critic with the largest value on the other
folds,

.. math:: l_k = \arg\max_l \sum_{m \ne k} \bigl(\bar f_{l,m}(R_m) - \bar f_{l,m}(X_m)\bigr),

where R and X are the samples of the reference and of the source, and f with the index m is a critic that saw none of fold m. The
critics judged on a fold are thus chosen without its values. Critics of a source that shares samples with this one have seen samples
that they would judge, and are left out. Without folds, each source is judged by its own critic.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from statistics import fmean

import numpy as np
import torch

from wdist.comparison.entry import Entry
from wdist.critics.frozen import Potentials
from wdist.data.measure import fold_rows
from wdist.data.rows import ResidentRows, row_hashes
from wdist.estimation.evaluation import evaluate_rows
from wdist.estimation.result import Estimate
from wdist.lipschitz.linalg.rounding import best_up_to_rounding

_MOST_SHARED = 0.01
"""Largest fraction of shared samples with which two sources still count as independent."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Held-out values of a critic on the samples of a source and of the reference in one fold."""

    critic: str
    """Name of the source for which the critic was trained."""
    a: np.ndarray
    """Values on the samples of the reference, divided by the certificate."""
    b: np.ndarray
    """Values on the samples of the source, divided by the certificate."""
    rounding: float
    """Bound for the rounding of the difference of both means."""

    @property
    def value(self) -> float:
        return float(self.a.mean() - self.b.mean())


def values_on(estimate: Estimate, rows: ResidentRows) -> tuple[Potentials, ...]:
    """Values of each fold's critic on the samples of its fold; none of these samples trained a critic."""
    found = []
    for number, critic in enumerate(estimate.critic.folds):
        numbers = fold_rows(rows.count, estimate.folds or 1, number, seed=estimate.seed)
        values = evaluate_rows(critic.frozen, rows.at(torch.from_numpy(numbers)))
        found.append(Potentials(values=values.values / critic.lipschitz_bound, rounding=values.rounding / critic.lipschitz_bound))
    return tuple(found)


def independent(sources: Mapping[str, ResidentRows]) -> dict[str, set[str]]:
    """For each source, the other sources that share at most 1 % of either's samples with it; the critics of the rest have seen some
    of its samples."""
    hashes = {name: row_hashes(rows) for name, rows in sources.items()}
    found: dict[str, set[str]] = {name: set() for name in sources}
    for (one, own), (other, theirs) in combinations(hashes.items(), 2):
        shared = max(np.isin(own, theirs).mean(), np.isin(theirs, own).mean())
        if shared <= _MOST_SHARED:
            found[one].add(other)
            found[other].add(one)
    return found


def best_found(entries: Sequence[Entry]) -> dict[str, tuple[Found, ...]]:
    """Held-out values of the chosen critics on each source, fold by fold; sources without held-out values are left out."""
    own = {entry.name: found for entry in entries if (found := _own(entry))}
    pool = {entry.name: entry.on_others for entry in entries if entry.name in own}
    return {name: _chosen([own[name], *_of_others(name, own, pool)]) for name in own}


def value_found(entry: Entry, found: Mapping[str, tuple[Found, ...]]) -> float:
    """Distance that the chosen critics detect, averaged over folds; the source's own held-out estimate if there are no values."""
    return fmean(each.value for each in found[entry.name]) if entry.name in found else entry.population.estimate


def _own(entry: Entry) -> tuple[Found, ...]:
    """Held-out values of the source's own critics; empty if there are none."""
    folds = [each.held_out for each in entry.estimate.critic.folds or (entry.estimate.critic,)]
    kept = [each for each in folds if each is not None]
    if len(kept) < len(folds):
        return ()
    return tuple(Found(critic=entry.name, a=each.a, b=each.b, rounding=each.rounding) for each in kept)


def _of_others(
    name: str, own: Mapping[str, tuple[Found, ...]], pool: Mapping[str, Mapping[str, tuple[Potentials, ...]]]
) -> list[tuple[Found, ...]]:
    """Held-out values of other sources' critics on a source, for sources with as many folds of as many reference samples."""
    found = []
    for other, values in pool.items():
        on_this = values.get(name, ())
        if [len(each.a) for each in own[other][: len(on_this)]] == [len(each.a) for each in own[name]]:
            folds = zip(own[other], on_this, strict=True)
            found.append(
                tuple(Found(critic=other, a=one.a, b=each.values, rounding=one.rounding + each.rounding) for one, each in folds)
            )
    return found


def _chosen(candidates: Sequence[tuple[Found, ...]]) -> tuple[Found, ...]:
    """For each fold, the candidate that finds most on the other folds; the first if there is only one fold."""

    def elsewhere(folds: tuple[Found, ...], *, but: int) -> float:
        return fmean(each.value for number, each in enumerate(folds) if number != but) if len(folds) > 1 else 0.0

    count = len(candidates[0])
    return tuple(best_up_to_rounding(candidates, partial(elsewhere, but=number))[number] for number in range(count))
