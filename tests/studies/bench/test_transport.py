"""The transport suite: solvers that agree, figures that are extrapolated by powers, and claims that can fail."""

from dataclasses import replace

import pytest

from wdist.studies.bench.transport import DENSE, LAZY, TASKS, WDIST, Task, _extrapolated, _measured, conclude, samples_of

TASK = Task(name="plane", dim=2, sizes=(90,), by_pot=(90,))


def measured(solver, tolerance=None):
    return _measured(solver, TASK, 90, tolerance, 0, None)


def test_all_solvers_find_the_same_distance():
    ours, dense, lazy = measured(WDIST, 1e-4), measured(DENSE), measured(LAZY)
    assert dense.upper == pytest.approx(lazy.upper, rel=1e-9)
    assert ours.lower <= dense.upper <= ours.upper
    assert ours.gap <= 1e-4
    assert dense.gap == 0
    checks = conclude([ours, dense, lazy]).checks
    assert all(check.holds for check in checks)
    assert len(conclude([ours, dense]).panels) == 2


def test_a_wrong_bound_or_an_open_gap_is_told():
    ours, dense = measured(WDIST, 1e-4), measured(DENSE)
    closed, held = conclude([replace(ours, upper=1.01 * ours.upper), dense]).checks
    assert not closed.holds
    assert held.holds
    closed, held = conclude([ours, replace(dense, upper=1.01 * dense.upper)]).checks
    assert closed.holds
    assert not held.holds


def test_a_power_of_n_is_extrapolated_exactly():
    small = replace(measured(DENSE), n=1000, seconds=1.0, memory=0.5)
    large = replace(small, n=2000, seconds=8.0, memory=2.0)
    found = _extrapolated([small, large], 10_000)
    assert found.extrapolated
    assert found.upper is None
    assert found.seconds == pytest.approx(8 * 5**3)
    assert found.memory == pytest.approx(2 * 5**2)
    assert _extrapolated([small], 10_000) is None


@pytest.mark.parametrize("task", [task for task in TASKS if not task.digits], ids=lambda task: task.name)
def test_samples_follow_from_the_seed(task):
    x, y = samples_of(task, 30, 0, None)
    again = samples_of(task, 30, 0, None)
    assert x.shape == y.shape == (30, task.dim)
    assert (x == again[0]).all()
    assert (x != samples_of(task, 30, 1, None)[0]).any()
