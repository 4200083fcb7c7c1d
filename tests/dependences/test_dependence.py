"""``wdist.dependence``: independent columns, dependence without correlation, categories, and known distances."""

import json
import math

import numpy as np
import ot
import pandas as pd
import pytest

import wdist
from wdist.dependences.recombination import recombination
from wdist.errors import SourceError, UsageError
from wdist.report.documents.forms import model

QUICK = {"critic": "c-transform", "progress": False}


def circle(random, n):
    angle = random.uniform(0, 2 * np.pi, n)
    return {"x": np.cos(angle), "y": np.sin(angle)}


def parity(random, n):
    x, y = random.normal(size=(2, n))
    return {"x": np.sign(x * y), "y": x, "z": y}


def modulus(random, n):
    x = random.normal(size=n)
    return {"x": x, "y": np.abs(x) + 0.1 * random.normal(size=n)}


def categories(random, n):
    colour = random.integers(0, 3, n)
    return {"x": colour.astype(str), "y": np.where(random.random(n) < 0.5, colour, random.integers(0, 3, n)).astype(str)}


@pytest.mark.parametrize("planted", [circle, parity, modulus, categories], ids=lambda each: each.__name__)
def test_dependence_that_no_correlation_shows_is_found(planted):
    frame = pd.DataFrame(planted(np.random.default_rng(0), 600))
    if planted is not categories:
        assert abs(np.corrcoef(frame["x"], frame["y"])[0, 1]) < 0.1
    found = wdist.dependence(frame, columns="x", **QUICK)
    assert found.found
    assert found.detected.p_value <= 0.001
    assert 0 < found.population.lower <= found.population.upper
    assert found.columns == ("x",)
    assert found.with_ == tuple(frame.columns[1:])


def test_the_level_for_independent_columns():
    """The test of numbers and a category keeps its level; bounds for the populations are 0 in as many runs."""
    runs, wrong, above = 25, 0, 0
    for seed in range(runs):
        random = np.random.default_rng(seed)
        frame = pd.DataFrame({"x": random.exponential(size=150), "y": random.integers(0, 2, 150).astype(str)})
        found = wdist.dependence(frame, columns="x", seed=seed, confidence=0.9, **QUICK)
        wrong += found.found
        above += found.population.lower > 0
    assert wrong <= 8  # 1 in 1000 by chance, for a share of 10 %
    assert above <= 5


@pytest.mark.parametrize("correlation", [-0.9, 0.7])
def test_normal_columns_have_a_known_distance(correlation):
    """W1 lies between those of the two principal axes and W2 (Gelbrich)."""
    roots = np.sqrt([1 + correlation, 1 - correlation])
    least, most = np.abs(roots - 1).max() * math.sqrt(2 / math.pi), np.linalg.norm(roots - 1)
    values = np.random.default_rng(1).multivariate_normal([0, 0], [[1, correlation], [correlation, 1]], size=900)
    found = wdist.dependence(values, columns="column 1", with_=["column 2"], scale="none", **QUICK)
    assert 0.3 * least < found.population.lower <= most
    assert least <= found.population.upper
    assert found.detected.lower <= most
    assert found.samples is None, "too many combinations"


def test_a_table_of_two_categories_is_solved_exactly():
    random = np.random.default_rng(0)
    x = random.random(400) < 0.4
    y = np.where(random.random(400) < 0.6, x, random.random(400) < 0.5)
    found = wdist.dependence(pd.DataFrame({"x": x, "y": y}), columns="x", with_="y", **QUICK)
    points = np.array([[i, j] for i in (0.0, 1.0) for j in (0.0, 1.0)])
    joint = np.array([((x == i) & (y == j)).mean() for i, j in points])
    product = np.array([(x == i).mean() * (y == j).mean() for i, j in points])
    exact = ot.emd2(joint, product, ot.dist(points, points, "euclidean"))
    assert found.samples.exact
    assert found.samples.combinations == 4
    assert exact <= found.samples.upper == pytest.approx(exact, rel=1e-8)
    assert found.samples.lower == pytest.approx(exact, rel=1e-3)
    assert found.population.lower <= 0.4 * 0.6 * 0.6 * 2 * 1.2, "about W1 of the distribution"


def test_the_upper_bound_is_at_most_about_the_mean_distance_of_one_side():
    """In many dimensions, where transport between samples says little."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame(random.normal(size=(200, 20))).add_prefix("x").assign(y=0.1 * random.normal(size=200))
    found = wdist.dependence(frame, columns="y", scale="none", **QUICK)
    assert 0.1 < found.population.upper < 0.16
    assert "mean distance between two values of columns" in found.to_dict()["population"]["upper_method"].replace("--", "")


def test_no_dependence_is_ruled_out_by_few_pairs_that_agree():
    """Few or none of the held-out pairs differ in a flag that is rare, however much depends on it."""
    flag = np.arange(100) < 4
    frame = pd.DataFrame({"x": flag, "y": flag + 0.5 * np.random.default_rng(0).normal(size=100)})
    for seed in range(12):
        found = wdist.dependence(frame, columns="x", critic="mean-difference", scale="none", seed=seed, progress=False)
        assert found.population.upper > 2 * 0.04 * 0.96


def test_rows_with_missing_values_and_columns_that_are_not_named_play_no_part():
    frame = pd.DataFrame(circle(np.random.default_rng(0), 300)).assign(name=[f"row {i}" for i in range(300)], empty=np.nan)
    frame.loc[:20, "x"] = np.nan
    found = wdist.dependence(frame, columns="x", with_="y", missing="drop", **QUICK)
    assert found.rows == 279
    assert found.table.dropped == 21


def test_the_result_is_a_document_a_text_and_a_figure():
    found = wdist.dependence(pd.DataFrame(circle(np.random.default_rng(0), 200)), columns="x", **QUICK)
    document = json.loads(found.to_json())
    model("dependence").model_validate(document)
    assert document["with"] == ["y"]
    assert document["population"]["jointly_with"] == 3
    assert len(document["table"]["digest"]) == 64
    assert str(found).startswith("x and y depend on each other")
    assert "independence" in str(found)
    assert len(found.plot().axes) == 2
    three = wdist.dependence(pd.DataFrame(parity(np.random.default_rng(0), 200)), columns="x", **QUICK)
    assert len(three.plot().axes) == 1


def test_the_same_seed_gives_the_same_numbers():
    frame = pd.DataFrame(circle(np.random.default_rng(0), 200))
    one, two = (wdist.dependence(frame, columns="x", seed=5, **QUICK) for _ in range(2))
    assert (one.population, one.detected) == (two.population, two.detected)


def test_a_run_that_is_resumed_gives_the_same_numbers(tmp_path):
    frame = pd.DataFrame(circle(np.random.default_rng(0), 150))
    run = {"steps": 20, "width": 16, "group_size": 4, "depth": 3, "checkpoint": tmp_path / "run", "progress": False}
    first = wdist.dependence(frame, columns="x", **run)
    again = wdist.dependence(frame, columns="x", resume=True, **run)
    assert (first.population, first.detected) == (again.population, again.detected)


def test_a_network_is_trained_unless_another_critic_is_named():
    frame = pd.DataFrame(circle(np.random.default_rng(0), 400))
    found = wdist.dependence(frame, columns="x", with_="y", steps=60, width=32, group_size=4, depth=3, progress=False)
    assert found.estimate.critic.name == "groupsort-bjorck"
    assert found.found


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"columns": "z"}, SourceError, "no column 'z'; the columns are x, y"),
        ({"columns": []}, UsageError, "columns names no column"),
        ({"columns": "x", "with_": []}, UsageError, "with_ names no column"),
        ({"columns": "x", "with_": ["y", "x"]}, UsageError, "'x' is in both"),
        ({"columns": ["x", "y"]}, UsageError, "all columns"),
        ({"columns": "x", "folds": 3}, UsageError, "folds has no effect"),
        ({"columns": "x", "draws": 300}, UsageError, "draws has no effect"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(given, error, words):
    frame = pd.DataFrame(circle(np.random.default_rng(0), 100))
    with pytest.raises(error, match=words):
        wdist.dependence(frame, progress=False, **given)


@pytest.mark.parametrize("constant", [3.0, "always"])
def test_a_constant_column_is_refused(constant):
    """Its bounds would have no width, however few rows there are."""
    frame = pd.DataFrame(circle(np.random.default_rng(0), 100)).assign(c=constant)
    for given in ({"columns": "c", "with_": "x"}, {"columns": "x", "with_": "c"}):
        with pytest.raises(SourceError, match="single value of c"):
            wdist.dependence(frame, progress=False, **given)
    assert wdist.dependence(frame, columns="x", critic="mean-difference", progress=False).with_ == ("y", "c")


def rare(n, *places):
    """A flag that only some rows have."""
    return np.isin(np.arange(n), places)


@pytest.mark.parametrize("seed", range(8))
def test_rare_values_are_no_failed_export(seed):
    """Of two flags that one row each has, the rows of a part may hold none."""
    frame, made = pd.DataFrame({"x": rare(200, 5), "y": rare(200, 6)}), recombination(200, seed=seed)
    given = {"columns": "x", "critic": "mean-difference", "seed": seed, "progress": False}
    if np.isin([5, 6], made.joint).any() and (5 in made.x or 6 in made.y):
        found = wdist.dependence(frame, **given)
        assert found.population.lower == 0
        assert found.population.upper > 2 * 0.005 * 0.995
    else:
        with pytest.raises(SourceError, match="nearly all rows of <frame table> hold the same values of these columns"):
            wdist.dependence(frame, **given)


def test_held_out_rows_with_a_single_value_are_named():
    """A critic that finds nothing there says nothing about the column."""
    frame = pd.DataFrame({"x": rare(200, 5), "y": np.random.default_rng(0).normal(size=200)})
    warned = []
    for seed in range(6):
        found = wdist.dependence(frame, columns="x", critic="mean-difference", seed=seed, progress=False)
        held_out = recombination(200, seed=seed).held_out
        warned.append(any("hold a single value of x, so no critic can find" in warning for warning in found.warnings))
        assert warned[-1] == (5 not in held_out)
    assert set(warned) == {True, False}


def test_recombined_rows_that_equal_others_raise_no_warning():
    """A row whose category is that of its partner is recombined to itself."""
    random = np.random.default_rng(0)
    frame = pd.DataFrame({"x": random.choice(["a", "b"], 300), "y": random.normal(size=300)})
    assert wdist.dependence(frame, columns="x", critic="mean-difference", progress=False).warnings == ()


def test_few_rows_are_called_rows():
    random = np.random.default_rng(0)
    values = random.normal(size=(60, 2))
    (warning,) = wdist.dependence(values, columns="column 1", critic="mean-difference", progress=False).warnings
    assert warning.startswith("only 10 rows and 10 recombined rows were held out")


def test_what_is_no_table_is_refused():
    with pytest.raises(SourceError, match="not a table"):
        wdist.dependence("synthetic:gaussian?dim=2", columns="x", progress=False)
    with pytest.raises(SourceError, match="give at least 60"):
        wdist.dependence(np.random.default_rng(0).normal(size=(40, 2)), columns="column 1", progress=False)
