"""Critics without training: their values are known, in every metric."""

import numpy as np
import pytest
import torch

from tests.trials import exact_w1, trial, two_moons
from wdist.bounds.certificate import certify
from wdist.critics import max_sliced
from wdist.critics.max_sliced import potential_on_the_line
from wdist.data.sources.pairs import gaussian_scale, sphere
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import L2, METRICS
from wdist.training.catalogue import CATALOGUE

AS_IT_IS = Standardisation(shift=torch.zeros(3, dtype=torch.float64), spread=1.0)
IN_10, IN_64 = (Standardisation(shift=torch.zeros(dim, dtype=torch.float64), spread=1.0) for dim in (10, 64))


def dual_value_of(name, a, b, metric):
    critic = CATALOGUE[name].critic(a, b, AS_IT_IS, metric)
    return float(critic.potentials(a).mean() - critic.potentials(b).mean())


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_mean_difference_has_the_length_of_the_difference_of_the_means(metric):
    a, b = (torch.from_numpy(side) for side in two_moons(70, 50, 3))
    b = b + torch.tensor([1.0, -2.0, 0.5])
    assert dual_value_of("mean-difference", a, b, metric) == pytest.approx(float(metric.norm(a.mean(0) - b.mean(0))), rel=1e-12)


@pytest.mark.parametrize("counts", [(40, 40), (40, 25), (1, 7), (30, 1)], ids=str)
def test_the_potential_on_the_line_reaches_exact_transport(counts, generator):
    x, y = (torch.randn(n, generator=generator, dtype=torch.float64) * s for n, s in zip(counts, (1, 3), strict=True))
    y = y.round() if counts[1] == 25 else y  # ties
    f = potential_on_the_line(x, y)
    value = float(f(x[:, None]).mean() - f(y[:, None]).mean())
    assert value == pytest.approx(exact_w1(x.numpy(), y.numpy()), rel=1e-9)
    assert f.check(1) == 1
    assert f.lipschitz().bound == 1


def test_the_potential_between_equal_sets_is_some_function_of_slope_1():
    x = torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)
    assert potential_on_the_line(x, x).check(1) == 1


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_best_line_is_at_least_any_random_one_and_the_means(metric, generator):
    a, b = (torch.from_numpy(side) for side in two_moons(80, 80, 3))
    value = {name: dual_value_of(name, a, b, metric) for name in ("max-sliced", "mean-difference")}
    w = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    w = w / torch.linalg.vector_norm(w, ord=metric.dual, dim=1, keepdim=True)
    sliced = max(float(((a @ v).sort().values - (b @ v).sort().values).abs().mean()) for v in w)
    assert max(value["mean-difference"], sliced * 0.99) <= value["max-sliced"] <= exact_w1(a.numpy(), b.numpy(), metric.p)


def test_the_search_for_the_best_line_takes_fewer_steps_for_samples_with_many_coordinates(monkeypatch):
    """It cannot be stopped, and would take many seconds of a short budget."""
    steps, grad = [], torch.autograd.grad
    monkeypatch.setattr(torch.autograd, "grad", lambda *arguments: steps.append(1) or grad(*arguments))
    a, b = (torch.from_numpy(side) for side in two_moons(80, 80, 3))
    taken = []
    for numbers in (80 * 3, 40 * 3, 1):
        monkeypatch.setattr(max_sliced, "_STEPPED_NUMBERS", numbers)
        steps.clear()
        max_sliced.max_sliced(a, b, L2)
        taken.append(len(steps))
    assert taken == [80, 40, 20]


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_a_shift_of_one_column_among_many_is_found_among_the_noise_of_the_others(metric):
    random = torch.Generator().manual_seed(0)
    a, b, fresh = torch.randn(3, 400, 64, generator=random, dtype=torch.float64)
    a[:, 5] += 0.5
    found = {name: CATALOGUE[name].critic(a, b, IN_64, metric) for name in ("mean-difference", "sparse-mean-difference")}
    shift = torch.eye(64, dtype=torch.float64)[5] * 0.5
    value = {name: float((f.potentials(fresh + shift) - f.potentials(fresh)).mean()) for name, f in found.items()}
    assert value["sparse-mean-difference"] > 0.45
    assert value["sparse-mean-difference"] >= value["mean-difference"]


def test_a_shift_of_all_columns_keeps_them_all():
    random = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 400, 64, generator=random, dtype=torch.float64)
    w, plain = (CATALOGUE[name].critic(a + 0.2, b, IN_64, METRICS["l2"]) for name in ("sparse-mean-difference", "mean-difference"))
    shift = torch.full((1, 64), 0.2, dtype=torch.float64)
    value, least = (float(f.potentials(shift) - f.potentials(0 * shift)) for f in (w, plain))
    assert value > 0.95 * least


def test_heavy_tails_of_the_sparse_difference_are_clipped_and_those_of_normals_are_not():
    random = np.random.default_rng(0)
    fresh = random.standard_t(2.5, size=(2, 100_000, 10)) + np.array([[[1.0]], [[0.0]]]) * np.eye(1, 10)
    heavy = random.standard_t(2.5, size=(2, 300, 10)) + np.array([[[1.0]], [[0.0]]]) * np.eye(1, 10)
    light = random.normal(size=(2, 300, 10)) + np.array([[[1.0]], [[0.0]]]) * np.eye(1, 10)
    found, normal = (
        CATALOGUE["sparse-mean-difference"].critic(*map(torch.from_numpy, each), IN_10, METRICS["l2"]) for each in (heavy, light)
    )
    a, b = (found.potentials(torch.from_numpy(side)) for side in fresh)
    assert len(normal.layers) == 1
    assert float(a.mean() - b.mean()) > 0.7
    assert float(a.var() + b.var()) < 0.6 * float(fresh[..., 0].var(1).sum())
    assert certify(found).lipschitz_bound == pytest.approx(1)


def test_equal_samples_and_very_few_have_a_sparse_difference_too():
    x = torch.zeros(4, 3, dtype=torch.float64)
    for y in (x, x + torch.eye(3, dtype=torch.float64)[0]):
        critic = CATALOGUE["sparse-mean-difference"].critic(y, x, AS_IT_IS, METRICS["l2"])
        assert certify(critic).lipschitz_bound == pytest.approx(1)
        assert float((critic.potentials(y) - critic.potentials(x)).mean()) == pytest.approx(float((y - x).sum(1).mean()))


def test_on_the_line_nothing_is_missing():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(300, 1)), 1 + random.normal(size=(300, 1)) * 2
    result = trial(a, b, name="max-sliced")
    assert result.training_value > 0.9 * exact_w1(a, b)
    assert (result.steps, result.converged, result.history) == (0, True, ())


def sides_of(pair, count=1500):
    """Fresh samples to fit a critic to, and others to judge it by."""
    generator = torch.Generator().manual_seed(0)
    return tuple(tuple(side.draw(count, generator).double() for side in (pair.a, pair.b)) for _ in range(2))


def worth(critic, sides):
    """Dual value of a critic on other samples than it was fitted to, over its certificate."""
    a, b = (critic.potentials(side) for side in sides)
    return float(a.mean() - b.mean()) / certify(critic).lipschitz_bound


@pytest.mark.parametrize("name", ["single-cone", "radial"])
@pytest.mark.parametrize("pair", [gaussian_scale(10, 3.0), gaussian_scale(4, 0.4), sphere(8), sphere(64)], ids=str)
def test_where_everything_moves_from_or_to_one_point_one_cone_is_the_whole_answer(name, pair):
    """Whichever side lies further out. On samples that it has not seen, so only their noise stands between it and the truth."""
    fitted_to, judged_by = sides_of(pair)
    critic = CATALOGUE[name].critic(*fitted_to, Standardisation.fit(*fitted_to), L2)
    assert worth(critic, judged_by) == pytest.approx(pair.w1, rel=0.06)
    assert certify(critic).lipschitz_bound == pytest.approx(1, rel=1e-12)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_best_function_of_a_distance_is_worth_at_least_the_distance_itself(metric):
    """And neither is worth more than exact transport, in any metric."""
    for seed in range(5):
        a, b = (torch.from_numpy(side) for side in two_moons(70, 50, 3, seed))
        value = {name: dual_value_of(name, a, b, metric) for name in ("single-cone", "radial")}
        assert 0 <= value["single-cone"] <= value["radial"] * (1 + 1e-12)
        assert value["radial"] <= exact_w1(a.numpy(), b.numpy(), metric.p)


def test_a_shell_between_two_others_needs_a_function_of_the_distance_that_bends(generator):
    """A at radii 1 and 5, B at radius 3: the mean distances agree, and W1 is 2."""
    x = torch.randn(3, 600, 3, generator=generator, dtype=torch.float64)
    x = x / x.norm(dim=2, keepdim=True) * torch.tensor([1.0, 5.0, 3.0], dtype=torch.float64)[:, None, None]
    a, b = torch.cat([x[0], -x[0], x[1], -x[1]]), torch.cat([x[2], -x[2]])
    one, bent = (CATALOGUE[name].critic(a, b, AS_IT_IS, L2) for name in ("single-cone", "radial"))
    assert worth(one, (a, b)) < 0.3
    assert worth(bent, (a, b)) == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize("name", ["single-cone", "radial"])
@pytest.mark.parametrize("counts", [(1, 1), (1, 20), (2, 3)], ids=str)
def test_a_cone_over_few_samples_or_equal_ones_is_no_obstacle(name, counts):
    a, b = (torch.ones(n, 2, dtype=torch.float64) for n in counts)
    for other, truth in ((b, 0.0), (b + 1, 2**0.5)):
        critic = CATALOGUE[name].critic(a, other, Standardisation.fit(a, other), L2)
        value = float(critic.potentials(a).mean() - critic.potentials(other).mean())
        assert value == pytest.approx(truth, abs=1e-12)
