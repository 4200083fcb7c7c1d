"""``bench drift``: changes are planted as their names say, and the rules of other tools are counted beside wdist."""

import numpy as np
import pytest
from scipy import stats

from wdist.studies.bench import drift


@pytest.mark.parametrize("change", drift.CHANGES[5:], ids=lambda change: change.name)
def test_changes_of_dependence_leave_the_columns_as_they_were(change):
    random = np.random.default_rng(0)
    before, after = drift._table(random, 20_000)[0], change.draw(random, 20_000)[0]
    for one, other in zip(before.T, after.T, strict=True):
        assert stats.ks_2samp(one, other).statistic < 0.02


def test_rows_count_what_every_rule_finds(monkeypatch):
    monkeypatch.setattr(drift, "_STEPS", 5)
    moved, none = drift.CHANGES[1], drift.CHANGES[0]
    rows = [drift.row_of(change, 300, runs=3) for change in (moved, none)]
    assert [row.runs for row in rows] == [3, 3]
    assert rows[0].found >= rows[0].by_columns
    assert all(count <= 3 for row in rows for count in (row.found, row.scaled, row.fixed, row.chunks))
    conclusion = drift.conclude(rows)
    assert len(conclusion.checks) == 1
    assert conclusion.panels[0].title == "drift found"
