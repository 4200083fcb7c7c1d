"""Each experiment, at sizes that take a second or two: what it measures is what it says."""

import dataclasses

import pytest
import torch

from wdist.lipschitz.linalg.orthonormalise import bjorck
from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import approximation, small_network
from wdist.studies.reproduce import bjorck as convergence
from wdist.studies.reproduce.approximation import BothSizes, Sizes
from wdist.studies.reproduce.bjorck import scalar_recursion, start_matrix
from wdist.training.observer import CriticStarted, HistoryPoint, Progress


def rows(result):
    return {(comparison.row, comparison.column): comparison for comparison in result.rows}


def held(result, beginning):
    (check,) = [check for check in result.conclusion.checks if check.claim.startswith(beginning)]
    return check.holds


def tiny(width, steps=4):
    """Sizes that take no time."""
    sizes = Sizes(width=width, batch_size=64, optimizer="adam", steps=steps)
    return BothSizes(full=sizes, quick=sizes)


@pytest.mark.parametrize("beta", [0.0003, 0.1, 0.5])
def test_singular_values_follow_the_scalar_recursion(beta):
    W = start_matrix(0)
    expected = scalar_recursion(torch.linalg.svdvals(W), beta=beta, iterations=30)
    assert torch.linalg.svdvals(bjorck(W, iterations=30, beta=beta)) == pytest.approx(expected, abs=1e-12)


def test_figure_12_converges_slowly_and_by_equation_8(conditions, monkeypatch):
    monkeypatch.setattr(convergence, "SIZE", 24)
    result = find_study("reproduce", "figure12").run(conditions)
    assert all(check.holds for check in result.conclusion.checks)
    assert rows(result)["smallest singular value", "after 10,000 iterations"].ours < 0.1


def test_figure_13_is_orthonormal_at_one_half_only(conditions):
    result = find_study("reproduce", "figure13").run(conditions)
    assert all(check.holds for check in result.conclusion.checks)
    (panel,) = result.conclusion.panels
    largest, smallest = panel.series
    assert largest.x == smallest.x
    assert (largest.x[0], largest.x[-1]) == (convergence.PARSEVAL_BETA, convergence.LARGEST_BETA)
    assert all(low <= high for low, high in zip(smallest.y, largest.y, strict=True))


def test_table_3_compares_two_ways_to_one_product(conditions, monkeypatch):
    monkeypatch.setattr(convergence, "QUICK_SIZE", 12)
    monkeypatch.setattr(convergence, "QUICK_RUNS", 1)
    result = find_study("reproduce", "table3").run(conditions)
    assert held(result, "Both forms compute the same product")
    found = rows(result)
    for k in convergence.SPEEDUP:
        column = "1 iteration" if k == 1 else f"{k} iterations"
        whole, product, speedup = (found[row, column] for row in ("whole matrix", "matrix-vector", "speed-up"))
        assert speedup.ours == pytest.approx(whole.ours / product.ours)
        assert speedup.paper == pytest.approx(whole.paper / product.paper, rel=0.35)


def test_small_networks_learn_the_absolute_value_with_slope_1(conditions):
    result = find_study("reproduce", "figure10").run(conditions)
    assert all(check.holds for check in result.conclusion.checks)
    assert [panel.title for panel in result.conclusion.panels] == ["pre-activations", "activations", "output"]


def test_the_best_of_several_starts_is_kept(conditions, monkeypatch):
    monkeypatch.setattr(small_network, "_POINTS", 21)
    problem = dataclasses.replace(small_network.ABSOLUTE_VALUE, steps=5)
    errors = [small_network.fit(dataclasses.replace(problem, restarts=restarts), conditions)[1] for restarts in (1, 4)]
    assert errors[1] <= errors[0]


def test_figure_4_bounds_every_activation_by_the_truth(conditions, monkeypatch):
    monkeypatch.setitem(approximation.SIZES, "figure4", tiny(8))
    result = find_study("reproduce", "figure4").run(conditions)
    assert held(result, "No certified value exceeds the truth")
    assert len(result.conclusion.panels) == len(result.rows) == 6
    for panel in result.conclusion.panels:
        curve = panel.series[-1]
        assert curve.y[len(curve.y) // 2] == 0
        assert all(abs(y) <= abs(x) * (1 + 1e-9) for x, y in zip(curve.x, curve.y, strict=True))


def test_figure_5_draws_a_surface_for_every_activation(conditions, monkeypatch):
    monkeypatch.setitem(approximation.SIZES, "figure5", tiny(8))
    result = find_study("reproduce", "figure5").run(conditions)
    assert held(result, "No lower confidence bound exceeds the truth")
    assert [panel.z.shape for panel in result.conclusion.panels] == [(51, 101)] * 4
    assert max(comparison.ours for comparison in result.rows if "height" in comparison.column) <= 1 + 1e-9


def test_figure_14_compares_both_constraints_in_every_dimension(conditions, monkeypatch):
    monkeypatch.setattr(convergence, "TRAINING", tiny(8))
    monkeypatch.setattr(convergence, "DIMENSIONS", (4, 8))
    result = find_study("reproduce", "figure14").run(conditions)
    assert len(result.rows) == 4
    assert [panel.title for panel in result.conclusion.panels] == ["dimension 4", "dimension 8"]
    assert {series.name for panel in result.conclusion.panels for series in panel.series} == {"Björck", "spectral norm"}


def test_the_first_step_that_reaches_a_value_is_found():
    class Result:
        history = tuple(
            HistoryPoint(step=step, seconds=0.0, training=0.0, validation=value) for step, value in ((0, 0.1), (5, 0.4), (10, 0.3))
        )

    assert convergence.steps_to(Result(), 0.3) == 5
    assert convergence.steps_to(Result(), 0.5) is None


def test_table_1_has_all_activations_beside_the_papers_values(conditions, monkeypatch):
    monkeypatch.setitem(approximation.SIZES, "table1", tiny(16, steps=2))
    monkeypatch.setattr(approximation, "QUICK_DIMENSIONS", (128,))
    monkeypatch.setattr(approximation, "DEPTHS", (3,))
    result = find_study("reproduce", "table1").run(conditions)
    assert held(result, "No certified value exceeds the truth")
    assert {(comparison.row, comparison.column): comparison.paper for comparison in result.rows} == {
        ("ReLU", "dimension 128, depth 3"): 0.51,
        ("Maxout", "dimension 128, depth 3"): 0.66,
        ("MaxMin", "dimension 128, depth 3"): 0.87,
        ("FullSort", "dimension 128, depth 3"): 1.00,
    }


def test_an_interrupt_keeps_the_critics_that_are_done(conditions, monkeypatch):
    monkeypatch.setitem(approximation.SIZES, "figure4", tiny(8))
    started = []

    def stop(event):
        started.extend([event] if isinstance(event, CriticStarted) else [])
        if len(started) == 3 and isinstance(event, Progress):
            raise KeyboardInterrupt

    observer = type("Stopping", (), {"notify": staticmethod(stop)})()
    result = find_study("reproduce", "figure4").run(dataclasses.replace(conditions, observer=observer))
    assert result.interrupted
    assert [row.row for row in result.rows] == ["ReLU", "tanh"]
    assert result.conclusion.panels == ()
