"""Column generation: both bounds hold exact transport, whatever the points, and close to the gap that was asked for."""

import math

import numpy as np
import ot
import pytest
import torch

from tests.transport.rows import rows
from wdist.checkpoints import folder as checkpoint
from wdist.checkpoints.folder import kept
from wdist.errors import SourceError
from wdist.ground_metric import L2, METRICS
from wdist.transport import column_generation as module
from wdist.transport import pricing, refinement
from wdist.transport.column_generation import column_generation
from wdist.transport.coupling import Effort, Execution, Sides
from wdist.transport.samples import upper_bound

BETWEEN = Effort(seconds=30, nbytes=700 * 600 * 56)
"""Memory between the needs of the two solvers."""


@pytest.fixture(autouse=True)
def several_levels(monkeypatch):
    """So few samples would be one level, solved densely."""
    monkeypatch.setattr(module, "SMALL", 60)


def normals(n, m, dim, random):
    return random.normal(size=(n, dim)), random.normal(size=(m, dim)) * 1.3 + 0.5


def plane(n, m, dim, random):
    return random.random((n, 2)), random.random((m, 2)) ** 2


def ties(n, m, dim, random):
    return random.integers(0, 3, (n, 3)) * 1.0, random.integers(0, 3, (m, 3)) * 1.0 + (random.random((m, 1)) < 0.3)


def moved(n, m, dim, random):
    x = random.normal(size=(n, dim))
    return x, x[random.integers(0, n, m)] + 1e-4 * random.normal(size=(m, dim))


def clusters(n, m, dim, random):
    centres = 50 * random.normal(size=(5, dim))
    return tuple(centres[random.integers(0, 5, k)] + 0.01 * random.normal(size=(k, dim)) for k in (n, m))


def outlier(n, m, dim, random):
    x, y = normals(n, m, dim, random)
    x[3] *= 1e6
    return x, y


KINDS = (normals, plane, ties, moved, clusters, outlier)


def solved(x, y, a, b, metric=L2, **options):
    return column_generation(*(torch.from_numpy(np.ascontiguousarray(side)) for side in (x, y)), a, b, metric, **options)


def exact(x, y, a, b, metric=L2):
    distances = np.linalg.norm(x[:, None] - y[None], ord=metric.p, axis=2)
    return float(ot.emd2(a, b, distances, numItermax=10_000_000))


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
@pytest.mark.parametrize("counts", [(300, 300), (400, 250), (150, 700)], ids=str)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_both_bounds_hold_exact_transport_and_the_gap_is_closed(kind, counts, metric):
    x, y = kind(*counts, 6, np.random.default_rng(counts[0]))
    a, b = (np.full(len(side), 1 / len(side)) for side in (x, y))
    found, truth = solved(x, y, a, b, metric, tolerance=1e-4), exact(x, y, a, b, metric)
    slack = 1e-6 * truth + 1e-9
    assert found.lower <= truth + slack
    assert found.upper >= truth - slack
    assert found.relative_gap <= 1e-4 or found.upper - found.lower <= slack


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_the_plan_carries_the_masses_and_costs_what_it_says(kind):
    random = np.random.default_rng(5)
    x, y = kind(260, 310, 4, random)
    a, b = (weights / weights.sum() for weights in (random.random(len(x)) + 0.1, random.random(len(y)) + 0.1))
    found = solved(x, y, a, b)
    plan = found.plan
    assert np.bincount(plan.rows, plan.mass, len(x)) == pytest.approx(a, abs=1e-12)
    assert np.bincount(plan.columns, plan.mass, len(y)) == pytest.approx(b, abs=1e-12)
    assert plan.mass @ np.linalg.norm(x[plan.rows] - y[plan.columns], axis=1) == pytest.approx(found.upper, rel=1e-9)
    truth = exact(x, y, a, b)
    assert found.lower - 1e-6 * truth <= truth <= found.upper + 1e-6 * truth


def test_few_rounds_leave_true_bounds():
    x, y = plane(500, 500, 2, np.random.default_rng(0))
    masses = np.full(500, 1 / 500)
    told = []
    execution = Execution(bounded=lambda lower, upper: told.append((lower, upper)))
    found = solved(x, y, masses, masses, tolerance=1e-12, rounds=1, execution=execution)
    assert len(told) == 1
    assert found.lower <= exact(x, y, masses, masses) <= found.upper * (1 + 1e-9)


def test_crowded_blocks_keep_the_most_violated_pair_of_every_row(monkeypatch):
    """The lower bound rests on it."""
    monkeypatch.setattr(pricing, "_CROWDED", 0)
    monkeypatch.setattr(refinement, "_FIRST_ARCS", 1)
    for kind in KINDS:
        x, y = kind(300, 300, 3, np.random.default_rng(1))
        masses = np.full(300, 1 / 300)
        bounds = []
        execution = Execution(bounded=lambda lower, upper: bounds.append((lower, upper)))  # noqa: B023
        solved(x, y, masses, masses, tolerance=1e-4, execution=execution)
        truth = exact(x, y, masses, masses)
        for lower, upper in bounds:
            assert lower - 1e-6 * truth - 1e-9 <= truth <= upper + 1e-6 * truth + 1e-9


def test_samples_beyond_the_dense_solver_are_coupled_by_column_generation():
    random = np.random.default_rng(2)
    x, y = normals(700, 600, 5, random)
    found = upper_bound(Sides(a=rows(x), b=rows(y)), effort=BETWEEN, seed=0)
    truth = exact(x, y, np.full(700, 1 / 700), np.full(600, 1 / 600))
    assert found.method == "transport by column generation"
    assert truth <= found.cost <= truth * 1.0011
    assert not found.exact
    assert found.potentials is not None


def test_values_beyond_float32_are_left_to_blocks():
    random = np.random.default_rng(2)
    x, y = normals(700, 600, 5, random)
    x[0] = 1e12
    assert "blocks" in upper_bound(Sides(a=rows(x), b=rows(y)), effort=BETWEEN, seed=0).method


def test_an_interruption_keeps_what_is_proved():
    """Ctrl-C after the first round: its plan and its bounds."""
    x, y = plane(500, 500, 2, np.random.default_rng(0))
    masses, rounds = np.full(500, 1 / 500), []

    def stop(lower, upper):
        rounds.append((lower, upper))
        raise KeyboardInterrupt

    execution = Execution(bounded=stop)
    found = solved(x, y, masses, masses, tolerance=1e-12, execution=execution)
    assert len(rounds) == 1
    assert execution.interruption.requested
    assert (found.lower, found.upper) == pytest.approx(rounds[0], rel=1e-8)
    assert found.lower <= exact(x, y, masses, masses) <= found.upper * (1 + 1e-9)


def test_after_the_deadline_no_round_begins_and_the_bounds_of_the_last_one_are_kept():
    x, y, rounds = *plane(700, 700, 3, np.random.default_rng(0)), []
    masses = np.full(700, 1 / 700)
    execution = Execution(deadline=-math.inf, bounded=lambda *both: rounds.append(both))
    found = solved(x, y, masses, masses, tolerance=1e-12, small=100, execution=execution)
    assert len(rounds) == 1
    assert found.lower <= exact(x, y, masses, masses) <= found.upper * (1 + 1e-9)


def test_an_interruption_before_the_first_round_proves_nothing():
    x, y = plane(500, 500, 2, np.random.default_rng(0))
    execution = Execution()
    execution.interruption.requested = True
    assert solved(x, y, np.full(500, 1 / 500), np.full(500, 1 / 500), execution=execution) is None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_without_a_tolerance_the_plan_becomes_optimal(kind):
    x, y = kind(300, 240, 3, np.random.default_rng(7))
    a, b = np.full(300, 1 / 300), np.full(240, 1 / 240)
    found, truth = solved(x, y, a, b, tolerance=0.0), exact(x, y, a, b)
    assert found.plan.optimal
    assert found.upper == pytest.approx(truth, rel=1e-9, abs=1e-12)
    assert found.lower == pytest.approx(truth, rel=1e-6, abs=1e-10)


class Killed(BaseException):
    """The end of a process."""


@pytest.mark.parametrize("after", [1, 2, 3])
def test_transport_that_was_killed_goes_on_to_the_same_bits(after, tmp_path, monkeypatch):
    """After any round, of the problem itself or of a smaller one."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    sides, one_round, left = normals(700, 600, 3, np.random.default_rng(0)), module._Rounds.next, [after]
    a, b = np.full(700, 1 / 700), np.full(600, 1 / 600)

    def found():
        plan = solved(*sides, a, b, tolerance=1e-9)
        return plan.lower, plan.upper, plan.plan.rows.tolist(), plan.plan.mass.tolist(), plan.plan.potentials[0].tolist()

    def counted(self):
        if not left[0]:
            raise Killed
        left[0] -= 1
        return one_round(self)

    whole = found()
    monkeypatch.setattr(module._Rounds, "next", counted)
    with pytest.raises(Killed), kept(tmp_path / "run", command="test", settings={}):
        found()
    left[0] = 1000
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert found() == whole
    left[0] = 0
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert found() == whole, "no round is done again, and the bounds are proved again"


def test_rounds_that_ended_before_their_result_was_kept_are_not_prolonged(tmp_path, monkeypatch):
    def end(self, result):
        raise Killed

    (x, y), a = normals(100, 100, 3, np.random.default_rng(0)), np.full(100, 1 / 100)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    finish = checkpoint._FolderPart.finish
    monkeypatch.setattr(checkpoint._FolderPart, "finish", end)
    with pytest.raises(Killed), kept(tmp_path / "run", command="test", settings={}):
        solved(x, y, a, a)
    monkeypatch.setattr(checkpoint._FolderPart, "finish", finish)
    monkeypatch.setattr(module._Rounds, "next", end)
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert solved(x, y, a, a).closed(1e-3)


def test_a_plan_of_other_samples_is_refused(tmp_path):
    (x, y), a = normals(300, 300, 3, np.random.default_rng(0)), np.full(300, 1 / 300)
    with kept(tmp_path / "run", command="test", settings={}):
        solved(x, y, a, a)
    with (
        pytest.raises(SourceError, match="does not fit these samples"),
        kept(tmp_path / "run", resume=True, command="test", settings={}),
    ):
        solved(x, 2 * y, a, a)
