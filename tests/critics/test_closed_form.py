"""Critics without training: their values are known, in every metric."""

import numpy as np
import pytest
import torch

from tests.trials import exact_w1, trial, two_moons
from wdist.critics.catalogue import RECIPES, critics
from wdist.critics.max_sliced import potential_on_the_line
from wdist.errors import UsageError
from wdist.ground_metric import METRICS
from wdist.measures.standardisation import Standardisation

AS_IT_IS = Standardisation(shift=torch.zeros(3, dtype=torch.float64), spread=1.0)


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_the_mean_difference_has_the_length_of_the_difference_of_the_means(metric):
    a, b = (torch.from_numpy(side) for side in two_moons(70, 50, 3))
    b = b + torch.tensor([1.0, -2.0, 0.5])
    critic = RECIPES["mean-difference"].fit(a, b, AS_IT_IS, metric)
    value = float(critic.potentials(a).mean() - critic.potentials(b).mean())
    assert value == pytest.approx(float(metric.norm(a.mean(0) - b.mean(0))), rel=1e-12)


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
    value = {}
    for name in ("max-sliced", "mean-difference"):
        critic = RECIPES[name].fit(a, b, AS_IT_IS, metric)
        value[name] = float(critic.potentials(a).mean() - critic.potentials(b).mean())
    w = torch.randn(300, 3, generator=generator, dtype=torch.float64)
    w = w / torch.linalg.vector_norm(w, ord=metric.dual, dim=1, keepdim=True)
    sliced = max(float(((a @ v).sort().values - (b @ v).sort().values).abs().mean()) for v in w)
    assert max(value["mean-difference"], sliced * 0.99) <= value["max-sliced"] <= exact_w1(a.numpy(), b.numpy(), metric.p)


def test_on_the_line_nothing_is_missing():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(300, 1)), 1 + random.normal(size=(300, 1)) * 2
    result = trial(a, b, name="max-sliced")
    assert result.training_value > 0.9 * exact_w1(a, b)
    assert (result.steps, result.settings["budget"], result.converged) == (0, "no training", True)


def test_critics_are_named_in_every_way():
    assert [recipe.name for recipe in critics("default")] == ["groupsort-bjorck", "relu-spectral", "relu-bjorck"]
    assert {recipe.name for recipe in critics("all")} == set(RECIPES)
    assert [recipe.name for recipe in critics("max-sliced, parseval,max-sliced")] == ["max-sliced", "parseval"]
    for wrong in ("nothing", ["parseval", "x"], ()):
        with pytest.raises(UsageError, match="groupsort-bjorck"):
            critics(wrong)


def test_a_recipe_is_changed_by_the_user_s_choices():
    from wdist.critics.settings import CriticSettings

    recipe = RECIPES["relu-spectral"].chosen(CriticSettings(activation="maxout:4", constraint="parseval"))
    assert (recipe.name, recipe.activation, recipe.constraint) == ("maxout-4-parseval", "maxout:4", "parseval")
    assert RECIPES["relu-spectral"].chosen(CriticSettings(activation="relu")) is RECIPES["relu-spectral"]
    kept = RECIPES["gradient-penalty"].chosen(CriticSettings(activation="abs"))
    assert (kept.name, kept.penalty) == ("abs-none-gradient-penalty", "gradient-penalty")
    assert not kept.bound_by_construction
