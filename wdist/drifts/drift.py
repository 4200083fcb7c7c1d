r"""``drift``: changes between two tables, column by column, pair by pair, and jointly.

Three tests share the error equally (Bonferroni): of every column alone, of the dependence of every pair of columns, and of the
joint distribution by a critic. The first two are corrected for the number of columns or pairs. If both tables hold independent rows
from one distribution, drift is reported with probability at most 1 - ``confidence``.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any

import numpy as np

from wdist.checkpoints.checkpoint import now
from wdist.data.comparable import check_comparable
from wdist.data.points import checked_table, table_points
from wdist.data.sources.column import BOOLEAN, CATEGORY, Column
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import Source, SourceInfo
from wdist.data.tables.joint import jointly_encoded
from wdist.drifts.columns import ColumnDrift, ColumnSamples, column_drifts
from wdist.drifts.dependence import PairDrift, pair_drifts
from wdist.drifts.joint import MovedRow, Tables
from wdist.errors import ExitStatus
from wdist.estimation.estimate import run_estimate
from wdist.estimation.options import EstimateOptions
from wdist.estimation.result import Estimate
from wdist.gates.gate import judged, rules_of
from wdist.gates.limits import GateLimits
from wdist.gates.verdict import Verdict
from wdist.ground_metric import ground_metric
from wdist.presentable import Tabular
from wdist.training.observer import Observer, Silent, Stage

_TESTS = 3
"""Columns, pairs, and the joint distribution."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Drift(Tabular):
    """Changes from a reference table to a current one. All p-values are corrected, to be compared with 1 - ``confidence``."""

    reference: SourceInfo
    current: SourceInfo
    columns: tuple[ColumnDrift, ...]
    """Each column alone, in the order of the tables; then, with ``missing="level"``, an indicator of missing values for each column
    that has some."""
    pairs: tuple[PairDrift, ...]
    """Pairs of columns by the change of their dependence, the most significant first."""
    rows: tuple[MovedRow, ...]
    """Rows of the current table that moved most; none without a plan."""
    samples: tuple[ColumnSamples, ...]
    """The tested samples of each of ``columns``, for figures."""
    joint_p_value: float
    """P-value of equal joint distributions, from what the critic finds on held-out rows."""
    estimate: Estimate
    """Bounds for the joint distance."""
    confidence: float
    """1 minus the probability of reporting drift if there is none."""
    verdict: Verdict | None = None
    """Verdict on the joint distance; None without a limit."""
    warnings: tuple[str, ...] = ()
    seconds: float

    @property
    def drifted(self) -> tuple[ColumnDrift, ...]:
        """The columns that drifted, the most significant first."""
        return tuple(column for column in self.ranked if self._found(column.adjusted))

    @property
    def ranked(self) -> tuple[ColumnDrift, ...]:
        """All columns, those with the most evidence for drift first."""
        return tuple(sorted(self.columns, key=lambda column: (column.adjusted, -column.scaled)))

    @property
    def changed(self) -> tuple[PairDrift, ...]:
        """The pairs whose dependence changed."""
        return tuple(pair for pair in self.pairs if self._found(pair.adjusted))

    @property
    def jointly(self) -> bool:
        """Whether the joint test finds drift."""
        return self._found(self.joint_p_value)

    @property
    def found(self) -> bool:
        """Whether any of the three tests finds drift."""
        return bool(self.drifted or self.changed or self.jointly)

    @property
    def interrupted(self) -> bool:
        return self.estimate.interrupted

    @property
    def exit_status(self) -> ExitStatus:
        """0 without drift, 1 with drift; with a limit, that of the verdict."""
        if self.verdict is not None:
            return self.verdict.answer.exit_status
        return ExitStatus.GATE_FAILED if self.found else ExitStatus.DONE

    def _found(self, p_value: float) -> bool:
        return p_value <= 1 - self.confidence


def run_drift(
    reference: Any,
    current: Any,
    options: EstimateOptions,
    *,
    maximum: float | str | None = None,
    observer: Observer | None = None,
) -> Drift:
    """Compares two tables with validated options; arguments, result and errors as for :func:`wdist.drift`.

    The confidence of the options is that of the whole result, and their seed also that of the tests.
    """
    began = now()
    observer = observer or Silent()
    limits = None if maximum is None else GateLimits(maximum=maximum, on="block" if isinstance(maximum, str) else "population")
    observer.notify(Stage(what="reading both tables"))
    opened = [checked_table(open_source(side, options.access, seed=options.seed)) for side in (reference, current)]
    joint = jointly_encoded(opened, options.access, seed=options.seed, metric=ground_metric(options.metric))
    first, second = joint.sources
    check_comparable(first, second)
    tables = _tables(joint.sources, options)
    observer.notify(Stage(what=f"testing {len(tables.columns)} columns, alone and in pairs"))
    values = columns_of(tables)
    samples = (*values, *missing_of(tables))
    columns = column_drifts(samples, confidence=options.confidence, seed=options.seed)
    pairs = pair_drifts(values, seed=options.seed)
    estimate = run_estimate(first, second, _joint_options(options), observer=observer, command="drift")
    plan = None if estimate.transport is None or estimate.transport.coupling is None else estimate.transport.coupling.plan
    shares: Sequence[float | None] = () if plan is None else tables.shares(plan)
    return Drift(
        reference=estimate.a.beside_reference,
        current=estimate.b.beside_reference,
        columns=tuple(
            replace(column, adjusted=_corrected(column.adjusted), share=share) for column, share in zip_longest(columns, shares)
        ),
        pairs=tuple(replace(pair, adjusted=_corrected(pair.adjusted)) for pair in pairs),
        rows=() if plan is None else tables.moved_rows(plan),
        samples=samples,
        joint_p_value=1.0 if estimate.detected is None else _corrected(estimate.detected.p_value),
        estimate=estimate,
        confidence=options.confidence,
        verdict=None if limits is None else judged(estimate, rules_of(limits, None, estimate), on=limits.on).verdict,
        warnings=(*joint.warnings, *estimate.warnings),
        seconds=now() - began,
    )


def _joint_options(options: EstimateOptions) -> EstimateOptions:
    """Options of the joint estimate, with at most a third of the error and a confidence rounded to few digits."""
    error = (1 - options.confidence) / _TESTS
    shares = 10 ** max(4, 2 - math.floor(math.log10(error)))
    return replace(options, confidence=1 - math.floor(shares * error) / shares)


def _corrected(p_value: float) -> float:
    """A p-value corrected for the three tests."""
    return min(1.0, _TESTS * p_value)


def columns_of(tables: Tables) -> list[ColumnSamples]:
    """Each column by itself: numbers in its own units, or positions among its levels."""
    return [_column_samples(column, tables.reference, tables.current) for column in tables.columns]


def missing_of(tables: Tables) -> list[ColumnSamples]:
    """An indicator of missing values for each column that has one; a category has a level for them instead."""
    return [
        ColumnSamples(
            name=f"{column.name} missing",
            type=BOOLEAN,
            reference=(tables.reference[:, column.stop - 1] > 0).astype(float),
            current=(tables.current[:, column.stop - 1] > 0).astype(float),
        )
        for column in tables.columns
        if column.indicator and column.type != CATEGORY
    ]


def _column_samples(column: Column, reference: np.ndarray, current: np.ndarray) -> ColumnSamples:
    own = [side[:, column.start : column.stop] for side in (reference, current)]
    if column.type == CATEGORY:
        levels = (*column.levels, "missing") if column.indicator else column.levels
        positions = [side.argmax(1) for side in own]
        return ColumnSamples(name=column.name, type=column.type, reference=positions[0], current=positions[1], levels=levels)
    values = [side[:, 0] * column.scale for side in own]
    return ColumnSamples(name=column.name, type=column.type, reference=values[0], current=values[1])


def _tables(sources: Sequence[Source], options: EstimateOptions) -> Tables:
    reference, current = (table_points(source, options.access, seed=options.seed) for source in sources)
    return Tables(
        columns=reference.columns,
        reference=reference.points,
        current=current.points,
        numbers=current.numbers,
        metric=ground_metric(options.metric),
    )
