"""Descriptions of tables, and the warnings that save people: identifiers, and columns that outweigh all others."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import wasserstein_distance

from wdist import compare
from wdist.data.access import Access
from wdist.data.inspection import inspect_source
from wdist.data.sources.arrays import ArraySource, StoredArray, describe
from wdist.data.sources.column import NUMBER, Column
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import Units
from wdist.data.tables.joint import jointly_encoded
from wdist.data.tables.profile import SAMPLED, SampledTable
from wdist.errors import SourceError

RANDOM = np.random.default_rng(0)


def table(path, **columns):
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return str(path)


def warnings(*addresses, **access):
    return jointly_encoded([open_source(each) for each in addresses], Access(**access), seed=0).warnings


def noise(n=80, scale=1.0):
    return RANDOM.normal(size=n) * scale


@pytest.mark.parametrize(
    ("name", "values", "told"),
    [
        ("customer_id", RANDOM.permutation(5000)[:80], True),
        ("orderId", RANDOM.permutation(5000)[:80], True),
        ("index", RANDOM.permutation(80), True),
        ("number", np.arange(80) * 3, True),
        ("paid", RANDOM.permutation(5000)[:80], False),
        ("count", RANDOM.integers(0, 9, 80), False),
        ("height", np.sort(RANDOM.normal(size=80)), False),
        ("shop_id", RANDOM.integers(0, 9, 80), False),
        ("customer", [f"C{k}" for k in (*range(78), 0, 1)], True),
        ("city", [f"city {k % 40}" for k in range(80)], False),
    ],
)
def test_columns_that_look_like_identifiers_are_pointed_out(name, values, told, tmp_path):
    a = table(tmp_path / "a.csv", **{name: values, "x": noise()})
    found = [each for each in warnings(a, a) if "identifier" in each]
    assert bool(found) == told
    if told:
        assert f"{name!r} looks like an identifier" in found[0]
        assert "?without=" in found[0]


@pytest.mark.parametrize(
    ("unit", "told"), [("${}", True), ("{} %", True), ("{}kg", True), ("zip {}", False), ("{}-9", False), ("2024Q{}", False)]
)
def test_numbers_with_a_unit_are_pointed_out(unit, told, tmp_path):
    a = table(tmp_path / "a.csv", price=[unit.format(k % 9) for k in range(80)], x=noise())
    assert any("'price' holds numbers with a unit" in each for each in warnings(a, a)) == told


def test_a_first_column_that_pandas_wrote_is_pointed_out_if_it_is_read(tmp_path):
    (tmp_path / "a.csv").write_text(",x,y\n" + "".join(f"{k},{k % 7},{k % 5}\n" for k in range(60)))
    (warning,) = (each for each in warnings(*2 * [f"{tmp_path}/a.csv?header=yes"]) if "identifier" in each)
    assert "'Unnamed: 0'" in warning
    assert not any("identifier" in each for each in warnings(*2 * [f"{tmp_path}/a.csv?columns=x,y"]))


def test_shares_are_those_of_one_dimensional_distances(tmp_path):
    """By scipy for numbers, and the total variation for levels."""
    x, y = noise(), noise() + 1
    kinds = [RANDOM.choice(["u", "v"], 80), RANDOM.choice(["u", "w"], 80)]
    a = table(tmp_path / "a.csv", x=x, kind=kinds[0])
    b = table(tmp_path / "b.csv", kind=kinds[1], x=y)
    shares = [column.share for column in inspect_source(a, other=b).columns]
    counts = [np.array([(kind == level).mean() for level in "uvw"]) for kind in kinds]
    parts = np.array([wasserstein_distance(x, y), np.abs(counts[0] - counts[1]).sum() / 2])
    np.testing.assert_allclose(shares, parts / parts.sum(), rtol=1e-6)


def test_a_column_that_outweighs_the_others_is_named_until_it_is_weighed(tmp_path):
    a, b = (table(tmp_path / f"{name}.csv", age=noise(), income=noise(scale=1e4)) for name in "ab")
    (warning,) = warnings(a, b)
    assert "'income' makes up 100 % of the distance" in warning or "'income' makes 99" in warning
    assert "--scale std" in warning
    assert warnings(a, b, scale="std") == ()


def test_columns_of_very_different_spreads_are_pointed_out(tmp_path):
    """Even where the wide column did not move, and makes less than nine tenths of the distance."""
    wide = noise(scale=100)
    a = table(tmp_path / "a.csv", age=noise(), income=wide)
    b = table(tmp_path / "b.csv", age=noise() + 5, income=wide)
    (warning,) = (each for each in warnings(a, b) if "identifier" not in each)
    assert "'age'" in warning
    (warning,) = warnings(a, table(tmp_path / "c.csv", age=noise() + 2, income=wide + 4))
    assert "very different spreads, from 'age' (" in warning


def test_a_comparison_warns_once_of_each_source(tmp_path):
    a, b = (table(tmp_path / f"{name}.csv", age=noise(), income=noise(scale=1e4)) for name in "ab")
    found = compare(a, [b], critic="mean-difference").warnings
    assert sum("of the distance" in each for each in found) == 1


@pytest.mark.parametrize(
    ("name", "values", "facts"),
    [
        ("number", [1, 2, 2, 3, ""] * 20, ("number", 20, 3, 2.0)),
        ("category", ["u", "v", "u", "u", "NA"] * 20, ("category", 20, 2, None)),
        ("date", ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-02", ""] * 20, ("date", 20, 3, 19724.0)),
        ("boolean", ["true", "false", "true", "false", ""] * 20, ("boolean", 20, 2, None)),
    ],
)
def test_each_column_is_described(name, values, facts, tmp_path):
    (column, _) = inspect_source(table(tmp_path / "a.csv", **{name: values, "x": noise(100)})).columns
    assert (column.type, column.missing, column.distinct, column.median) == facts


def test_a_table_that_an_estimate_refuses_is_described_with_the_way_out(tmp_path):
    mixed = [*noise(79), "oops"]
    a = table(tmp_path / "a.csv", x=["", *noise(79)], y=mixed, note=[f"text {k}" for k in range(80)])
    found = inspect_source(a)
    assert [column.type for column in found.columns] == ["number", "text", "text"]
    assert len(found.missing) == 3
    assert "line 81 holds 'oops'" in found.missing[0]
    assert "a different text in every row" in found.missing[1]
    assert "1 of 80 rows misses a value (x 1)" in found.missing[2]
    with pytest.raises(SourceError, match="holds 'oops'"):
        open_source(a)
    b = table(tmp_path / "b.csv", x=noise(), y=noise(), note=[f"text {k}" for k in range(80)])
    with pytest.raises(SourceError, match=r"has no columns 'note', 'y'"):
        inspect_source(a, other=table(tmp_path / "c.csv", x=noise()))
    assert inspect_source(b, other=b).columns[0].share == 0


def test_only_tables_have_shares(tmp_path):
    np.save(tmp_path / "a.npy", noise())
    with pytest.raises(SourceError, match=r"a.npy is not a table, so its columns have no shares"):
        inspect_source(f"{tmp_path}/a.npy", other=f"{tmp_path}/a.npy")


@pytest.mark.parametrize("groups", [10, 100])
def test_rows_of_a_table_in_many_groups_are_read_from_few_of_them(groups):
    group_rows, parts = 3000, []

    def read_rows(start, stop):
        parts.append((start // group_rows, (stop - 1) // group_rows))
        return torch.arange(start, stop, dtype=torch.float64).unsqueeze(1)

    count = groups * group_rows
    array = StoredArray(shape=(count, 1), dtype="float64", itemsize=8, read_rows=read_rows, rows_together=group_rows)
    info = describe((count, 1), "float64", "sorted", "table", Units())
    sampled = SampledTable.of(ArraySource(array, replace(info, columns=(Column(name="x", type=NUMBER, start=0, stop=1),))))
    values = sampled.rows[:, 0]
    assert len({group for first, last in parts for group in range(first, last + 1)}) == min(groups, 16)
    assert 15_000 < len(np.unique(values)) <= SAMPLED
    assert np.quantile(values, [0.1, 0.5, 0.9]) / count == pytest.approx([0.1, 0.5, 0.9], abs=0.05)
    assert np.quantile(values % group_rows, [0.1, 0.5, 0.9]) / group_rows == pytest.approx([0.1, 0.5, 0.9], abs=0.05)
