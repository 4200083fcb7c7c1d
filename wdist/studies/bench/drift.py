"""Drift: how often planted changes of a table are found, and how often drift is reported without any.

Tables of ten columns (numbers that depend on each other, a heavy-tailed one, two categories) are drawn again and again, and one
thing changes. Rules of monitoring tools, which look at each column of numbers alone, are shown beside wdist: a fixed threshold for
W1 over the standard deviation (0.1 in evidently, beyond 1,000 rows), a fixed threshold for W1 itself, and, as in NannyML, chunks of
the table whose W1 from the reference exceeds the mean of the reference's own chunks by more than three standard deviations.

References:
    Evidently AI, documentation of data drift; NannyML, documentation of thresholds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from scipy.stats import wasserstein_distance

from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.sources.arrays import open_values
from wdist.data.sources.column import CATEGORY, plain_columns
from wdist.data.sources.column import Column as TableColumn
from wdist.data.sources.source import Source
from wdist.drifts.drift import Drift, run_drift
from wdist.estimation.options import NONE, EstimateOptions
from wdist.studies.error_rate import most_by_chance
from wdist.studies.panels import Panel, series_of
from wdist.studies.progress import complete
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, Study, StudyTable, percent
from wdist.training.budget import Budget

CONFIDENCE = 0.95
ROWS = (300, 1000)
_RUNS, _QUICK_RUNS = 200, 10
_NUMBERS, _LEVELS = 8, (("a", "b", "c", "d"), ("u", "v", "w"))
_STEPS, _SETTINGS = 150, CriticSettings(width=64, depth=3, batch_size=128)
_FIXED_SCALED, _FIXED, _CHUNKS, _DEVIATIONS = 0.1, 1.0, 10, 3.0

Table: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Numbers, float64, shape (n, 8), and levels, shape (n, 2)."""


def _table(random: np.random.Generator, n: int) -> Table:
    z = random.standard_normal((n, _NUMBERS)) + 0.5 * random.standard_normal((n, 1))
    numbers = z.copy()
    numbers[:, 6], numbers[:, 7] = np.exp(z[:, 6]), np.abs(random.standard_normal(n)) * np.sign(random.standard_normal(n))
    levels = np.stack([np.digitize(z[:, 5], [-0.5, 0.5, 1.0]), random.choice(3, n, p=(0.6, 0.3, 0.1))], axis=1)
    return numbers, levels


def _changed(change: Callable[[np.random.Generator, np.ndarray, np.ndarray], None]) -> Callable[[np.random.Generator, int], Table]:
    """Draws tables, then changes their numbers and levels in place."""

    def draw(random: np.random.Generator, n: int) -> Table:
        table = _table(random, n)
        change(random, *table)
        return table

    return draw


@_changed
def _shifted(random: np.random.Generator, numbers: np.ndarray, levels: np.ndarray) -> None:
    numbers[:, 0] += 0.3


@_changed
def _spread(random: np.random.Generator, numbers: np.ndarray, levels: np.ndarray) -> None:
    numbers[:, 0] *= 1.4


@_changed
def _levels(random: np.random.Generator, numbers: np.ndarray, levels: np.ndarray) -> None:
    levels[:, 1] = random.choice(3, len(levels), p=(0.45, 0.4, 0.15))


@_changed
def _all_shifted(random: np.random.Generator, numbers: np.ndarray, levels: np.ndarray) -> None:
    numbers += 0.1


@_changed
def _correlated(random: np.random.Generator, numbers: np.ndarray, levels: np.ndarray) -> None:
    """The first two columns depend on each other more strongly, but keep their distributions."""
    correlation, spread = 0.6, np.sqrt(1.25)
    one, other = random.standard_normal((2, len(numbers)))
    numbers[:, 0], numbers[:, 1] = spread * one, spread * (correlation * one + np.sqrt(1 - correlation**2) * other)


@_changed
def _sign(random: np.random.Generator, numbers: np.ndarray, levels: np.ndarray) -> None:
    """The sign of one column becomes that of a product of two others: no column and no correlation changes."""
    numbers[:, 7] = np.abs(numbers[:, 7]) * np.sign(numbers[:, 0] * numbers[:, 1] - np.median(numbers[:, 0] * numbers[:, 1]))


@dataclass(frozen=True, kw_only=True)
class Change:
    """A planted change of a table."""

    name: str
    draw: Callable[[np.random.Generator, int], Table]
    none: bool = False
    """Whether nothing changes."""


CHANGES = (
    Change(name="none", draw=_table, none=True),
    Change(name="one column moves by 0.3", draw=_shifted),
    Change(name="one column spreads by 1.4", draw=_spread),
    Change(name="shares of levels", draw=_levels),
    Change(name="all columns move by 0.1", draw=_all_shifted),
    Change(name="a correlation, same columns", draw=_correlated),
    Change(name="a sign of a product, same columns", draw=_sign),
)


@dataclass(frozen=True, kw_only=True)
class DriftRow:
    """Counts over all tables with one change and one number of rows."""

    change: str
    none: bool
    rows: int
    """Rows of each table."""
    runs: int
    found: int
    """Runs in which wdist reports drift."""
    by_columns: int
    by_pairs: int
    jointly: int
    scaled: int
    """Runs in which W1 of a column over its standard deviation is at least 0.1."""
    fixed: int
    """Runs in which W1 of a column is at least 1."""
    chunks: int
    """Runs in which a chunk is farther from the reference than the reference's own chunks allow."""

    @property
    def share(self) -> float:
        return self.found / self.runs


def _measure(conditions: Conditions) -> Iterator[DriftRow]:
    runs = _QUICK_RUNS if conditions.quick else _RUNS
    for rows in ROWS:
        for change in CHANGES:
            name = f"{change.name} {rows}"
            if conditions.wanted(name, quick=rows == ROWS[0]):
                what = f"{runs * len(conditions.seeds)} pairs of tables with {rows} rows: {change.name}"
                yield conditions.row(name, partial(row_of, change, rows, runs=runs, seeds=conditions.seeds), what=what)


def row_of(change: Change, rows: int, *, runs: int, seeds: Sequence[int] = (0,)) -> DriftRow:
    """Measures one change at one number of rows."""
    found = []
    for seed in seeds:
        for run in range(runs):
            random = np.random.default_rng([seed, run, rows])
            reference, current = _table(random, rows), change.draw(random, rows)
            drift = _drift(reference, current, run)
            rules = _rules(reference[0], current[0])
            found.append((drift.found, bool(drift.drifted), bool(drift.changed), drift.jointly, *rules))
    names = ("found", "by_columns", "by_pairs", "jointly", "scaled", "fixed", "chunks")
    counts = {name: int(sum(column)) for name, column in zip(names, zip(*found, strict=True), strict=True)}
    return DriftRow(change=change.name, none=change.none, rows=rows, runs=len(found), **counts)


def _drift(reference: Table, current: Table, seed: int) -> Drift:
    options = EstimateOptions(
        access=Access(scale="std"),
        critic="groupsort-bjorck",
        settings=_SETTINGS,
        budget=Budget(steps=_STEPS),
        baselines=NONE,
        couplings=False,
        confidence=CONFIDENCE,
        seed=seed,
        device="cpu",
    )
    return complete(run_drift(_source(reference), _source(current), options))


def _source(table: Table) -> Source:
    """A source of tables with eight columns of numbers and two categories."""
    numbers, levels = table
    source = open_values(torch.from_numpy(np.concatenate([numbers, levels], axis=1)))
    columns = plain_columns([f"x{k}" for k in range(_NUMBERS)])
    for k, own in enumerate(_LEVELS):
        start = _NUMBERS + k
        columns += (TableColumn(name=f"c{k}", type=CATEGORY, levels=own, start=start, stop=start + 1),)
    source.info = replace(source.info, columns=columns)
    return source


def _rules(reference: np.ndarray, current: np.ndarray) -> tuple[bool, bool, bool]:
    """Verdicts of the three rules that look at each column of numbers alone."""
    distances = np.array([wasserstein_distance(*pair) for pair in zip(reference.T, current.T, strict=True)])
    own, now = (_chunked(reference, side) for side in (reference, current))
    limits = own.mean(0) + _DEVIATIONS * own.std(0)
    scaled = distances / reference.std(0) >= _FIXED_SCALED
    return bool(scaled.any()), bool((distances >= _FIXED).any()), bool((now > limits).any())


def _chunked(reference: np.ndarray, side: np.ndarray) -> np.ndarray:
    """W1 between the reference and each chunk of a table, shape (chunks, columns)."""
    return np.array(
        [[wasserstein_distance(*pair) for pair in zip(reference.T, part.T, strict=True)] for part in np.array_split(side, _CHUNKS)]
    )


def conclude(rows: Sequence[DriftRow]) -> Conclusion:
    """Checks the rate of false alarms, and draws how often each change is found."""
    none = [row for row in rows if row.none]
    wrong, runs = sum(row.found for row in none), sum(row.runs for row in none)
    checks = ClaimCheck(
        claim="Without any change, drift is reported no more often than stated.",
        holds=wrong <= most_by_chance(runs, 1 - CONFIDENCE),
        detail=f"{wrong} of {runs} tables against {percent(1 - CONFIDENCE, 0)}",
    )
    panel = Panel(
        title="drift found",
        x_label="rows of each table",
        y_label="share of the tables",
        series=series_of(rows, name="change", x="rows", y="share", reference=lambda row: row.none),
        level=1 - CONFIDENCE,
        bottom=0.0,
        top=1.02,
    )
    remark = "The last three columns are rules for columns of numbers: shares of tables in which any column exceeds its limit."
    return Conclusion(checks=(checks,) if none else (), panels=(panel,), remarks=(remark,))


def _of_runs(count: str) -> Callable[[DriftRow], float]:
    return lambda row: getattr(row, count) / row.runs


STUDY = Study(
    name="drift",
    title="How often planted drift is found, and how often drift is reported without any",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=(
        StudyTable(
            "shares of tables in which drift is reported",
            DriftRow,
            *Column.named("change", "rows"),
            Column("wdist", "share", "share"),
            Column("by\ncolumns", _of_runs("by_columns"), "share"),
            Column("by\npairs", _of_runs("by_pairs"), "share"),
            Column("jointly", _of_runs("jointly"), "share"),
            Column("W1/sd\n>= 0.1", _of_runs("scaled"), "share"),
            Column("W1\n>= 1", _of_runs("fixed"), "share"),
            Column("chunks,\n3 sd", _of_runs("chunks"), "share"),
        ),
    ),
    reduced=(f"{_QUICK_RUNS} runs instead of {_RUNS}", f"{ROWS[0]} rows only"),
)
