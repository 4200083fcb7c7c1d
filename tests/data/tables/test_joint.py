"""Tables of typed columns as points of one space: the metric, missing values, units of length."""

import itertools

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from wdist.data.access import Access
from wdist.data.measure import split
from wdist.data.pairing import open_pair
from wdist.data.rows import gather
from wdist.data.sources.opening import open_source
from wdist.data.tables.joint import jointly_encoded
from wdist.errors import SourceError, UsageError
from wdist.ground_metric import METRICS

CITIES = ("Oslo", "Bergen", "Bodø", "Vadsø")


def rows_of(seed, n=60, cities=CITIES[:3], *, holes=0.0):
    """Rows as Python values: a number, a category, a truth, a date; None where one is missing."""
    random = np.random.default_rng(seed)
    rows = [
        [
            round(float(random.normal(40, 9)), 1),
            str(random.choice(cities)),
            bool(random.random() < 0.3),
            f"2024-01-{random.integers(1, 28):02d}",
        ]
        for _ in range(n)
    ]
    for row, column in itertools.product(range(n), range(4)):
        if random.random() < holes:
            rows[row][column] = None
    return rows


NAMES = ["age", "city", "member", "joined"]


def write(path, rows, order=(0, 1, 2, 3), empty="NA"):
    def text(value):
        return empty if value is None else str(value)

    lines = [",".join(NAMES[k] for k in order), *(",".join(text(row[k]) for k in order) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def distance(x, y, *, p, scale=(1, 1, 1, 1), median=None):
    """The documented distance between two rows, by its definition."""
    parts = []
    for k, (one, other) in enumerate(zip(x, y, strict=True)):
        if k == 1:
            parts.append((one != other) / scale[k])
            continue
        if k == 3:
            one, other = (
                None if each is None else float(np.datetime64(each).astype("datetime64[D]").astype(int)) for each in (one, other)
            )
        values = [median[k] if each is None else float(each) for each in (one, other)]
        parts.append(abs(values[0] - values[1]) / scale[k])
        parts.append(float((one is None) != (other is None)))
    return np.linalg.norm(parts, ord=p)


def points(joint):
    return [source.read(slice(0, source.count)).numpy() for source in joint.sources]


@pytest.mark.parametrize("metric", METRICS.values(), ids=str)
def test_distances_between_encoded_rows_are_those_of_the_definition(metric, tmp_path):
    x, y = rows_of(0), rows_of(1, cities=CITIES)
    a, b = write(tmp_path / "a.csv", x), write(tmp_path / "b.csv", y, order=(3, 1, 0, 2))
    xs, ys = map(torch.from_numpy, points(jointly_encoded([open_source(a), open_source(b)], Access(), seed=0, metric=metric)))
    found = torch.cdist(xs, ys, p=metric.p).numpy()
    wanted = [[distance(one, other, p=metric.p) for other in y] for one in x]
    np.testing.assert_allclose(found, wanted, atol=1e-12)


def test_missing_values_lie_where_the_guide_says(tmp_path):
    """At the median of A's training rows, 1 away in a direction of their own; a missing category is one more level."""
    x, y = rows_of(2, holes=0.1), rows_of(3, holes=0.1)
    a, b = write(tmp_path / "a.csv", x), write(tmp_path / "b.csv", y, empty="")
    access = Access(missing="level", scale={"age": 9.0, "city": 2.0, "joined": 7.0})
    training = split(len(x), seed=4).train
    median = {k: column_median([x[row][k] for row in training], k) for k in (0, 2, 3)}
    found = cdist(*points(jointly_encoded([open_source(a), open_source(b)], access, seed=4)))
    wanted = [[distance(one, other, p=2, scale=(9, 2, 1, 7), median=median) for other in y] for one in x]
    np.testing.assert_allclose(found, wanted, atol=1e-9)


def column_median(values, k):
    known = [np.datetime64(each).astype(int) if k == 3 else float(each) for each in values if each is not None]
    return float(np.median(known))


SPREADS = {
    "std": np.std,
    "iqr": lambda x: np.quantile(x, 0.75) - np.quantile(x, 0.25),
    "mad": lambda x: np.median(abs(x - np.median(x))),
    "range": lambda x: x.max() - x.min(),
}


@pytest.mark.parametrize("scale", SPREADS)
def test_units_are_fitted_to_training_rows_of_a_alone(scale, tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 2)) * [1, 1000]
    train = split(200, seed=7).train
    spoilt = x.copy()
    spoilt[np.setdiff1d(np.arange(200), train)] *= 50  # no held-out row may change a unit
    for rows in (x, spoilt):
        columns = jointly_encoded([open_source(rows), open_source(100 * x)], Access(scale=scale), seed=7).sources[0].info.columns
        np.testing.assert_allclose([column.scale for column in columns], [SPREADS[scale](x[train, k]) for k in range(2)])


def test_scaled_distances_do_not_depend_on_the_units_of_the_file():
    random = np.random.default_rng(5)
    x, y = random.normal(size=(60, 3)), random.normal(size=(60, 3))
    factors = np.array([1, 1e6, 1e-6])
    for scale in SPREADS:
        plain, other = (
            cdist(*points(jointly_encoded([open_source(x * c), open_source(y * c)], Access(scale=scale), seed=0)))
            for c in (1, factors)
        )
        np.testing.assert_allclose(plain, other, rtol=1e-9)


def test_a_table_of_numbers_is_read_as_before(tmp_path):
    np.savetxt(tmp_path / "a.csv", np.eye(40, 3), delimiter=",", header="x,y,z", comments="")
    source = open_source(tmp_path / "a.csv")
    for missing in ("refuse", "drop", "level"):
        assert jointly_encoded([source, source], Access(missing=missing), seed=0).sources == (source, source)


def test_a_column_without_a_spread_keeps_its_units_with_a_word():
    x = np.c_[np.arange(60.0), np.full(60, 3.0)]
    joint = jointly_encoded([open_source(x), open_source(x)], Access(scale="std"), seed=0)
    assert joint.sources[0].info.columns[1].scale == 1
    (warning,) = joint.warnings
    assert "'column 2' has no spread (std)" in warning


def opened(a, b, **access):
    return open_pair(a, b, access=Access(**access), seed=0, device=torch.device("cpu"))


def test_missing_values_are_refused_dropped_or_set_apart(tmp_path):
    x, y = rows_of(0, holes=0.05), rows_of(1)
    a, b = write(tmp_path / "a.csv", x), write(tmp_path / "b.csv", y)
    incomplete = sum(None in row for row in x)
    with pytest.raises(SourceError, match=rf'a.csv: {incomplete} of 60 rows miss values \(.* missing="drop", .* missing="level"'):
        opened(a, b)
    for access in ({"missing": "drop"}, {"drop_nonfinite": True}):
        pair = opened(a, b, **access)
        assert (pair.a.info.dropped, pair.b.info.dropped) == (incomplete, 0)
        assert f"{incomplete} rows with missing values were left out" in pair.a.info.notes
        complete = np.array([float(row[0]) for row in x if None not in row])
        np.testing.assert_array_equal(gather(pair.a.everything)[:, 0], complete)
    assert opened(a, b, missing="level").a.info.dropped == 0


def test_infinite_values_are_not_missing(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "1,2\n3,4\n" * 30 + "inf,1\n,2\n")
    a = str(tmp_path / "a.csv")
    for missing in ("drop", "level"):
        with pytest.raises(SourceError, match="NaN or infinity"):
            opened(a, a, missing=missing)
    assert opened(a, a, missing="drop", drop_nonfinite=True).a.info.dropped == 2


@pytest.mark.parametrize(
    ("a", "b", "words"),
    [
        ("x,y\n1,u\n2,v\n", "x,y\n1,2\n2,3\n", "'y' is a category in .*a.csv but a number in .*b.csv"),
        ("x,y\n1,u\n2,v\n", "x,z\n1,u\n2,v\n", "b.csv has no column 'y'"),
        ("x,y\n1,2024-01-01\n2,2024-01-02\n", "x,y\n1,2\n2,3\n", "'y' is a date in .* but a number in"),
    ],
)
def test_columns_of_different_types_are_refused(a, b, words, tmp_path):
    for name, text in (("a.csv", a), ("b.csv", b)):
        head, *rows = text.splitlines()
        (tmp_path / name).write_text("\n".join([head, *rows * 20]) + "\n")
    with pytest.raises(SourceError, match=words):
        opened(tmp_path / "a.csv", tmp_path / "b.csv")


def test_a_column_without_any_value_is_of_any_type(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n" + "1,u\n2,v\n" * 20)
    (tmp_path / "b.csv").write_text("x,y\n" + "1,\n2,NA\n" * 20)
    pair = opened(tmp_path / "a.csv", tmp_path / "b.csv", missing="level")
    assert pair.b.info.columns[1].levels == ("u", "v")
    assert gather(pair.b.everything)[0].tolist() == [1, 0, 0, pytest.approx(2**-0.5)]


@pytest.mark.parametrize(
    ("text", "name", "words"),
    [
        ('{"age": 0}', "s.json", "'age' the length 0; give a positive number"),
        ('{"agge": 1}', "s.json", "names the column 'agge', which does not exist; did you mean 'age'"),
        ("[1]", "s.json", "cannot be read"),
        ("age,1,2\n", "s.csv", "cannot be read"),
        ("column,length\nage,x\n", "s.csv", "'age' the length None"),
    ],
)
def test_files_of_lengths_are_refused_in_a_sentence(text, name, words, tmp_path):
    (tmp_path / name).write_text(text)
    a = write(tmp_path / "a.csv", rows_of(0))
    with pytest.raises(SourceError, match=words):
        opened(a, a, scale=f"{tmp_path}/{name}")


@pytest.mark.parametrize("text", ['{"age": 10, "city": 0.5}', "column,length\nage,10\ncity,0.5\n", "age,10\ncity,0.5\n"])
def test_lengths_are_read_from_a_file(text, tmp_path):
    path = tmp_path / ("s.json" if text.startswith("{") else "s.csv")
    path.write_text(text)
    a = write(tmp_path / "a.csv", rows_of(0))
    pair = opened(a, a, scale=str(path))
    assert [column.scale for column in pair.a.info.columns] == [10, 0.5, 1, 1]
    assert "lengths in" in pair.a.info.units


def test_a_scale_needs_a_table_and_a_known_word(tmp_path):
    with pytest.raises(UsageError, match="scale sdt is neither a known spread nor a file; did you mean 'std'"):
        opened(np.eye(40, 3), np.eye(40, 3), scale="sdt")
    with pytest.raises(SourceError, match="is not a table, but scale"):
        opened(np.random.default_rng(0).normal(size=(40, 2, 2)), np.eye(40, 4), scale="std")
    with pytest.raises(SourceError, match=r"has categories, but synthetic:gaussian.* is not a table"):
        opened(write(tmp_path / "a.csv", rows_of(0)), "synthetic:gaussian?dim=4")


def test_the_same_rows_are_recognised_in_another_order_of_columns(tmp_path):
    rows = rows_of(0)
    a, b = write(tmp_path / "a.csv", rows), write(tmp_path / "b.csv", rows, order=(2, 3, 1, 0))
    assert opened(a, b).identical
    assert opened(a, b, scale="std").identical
    renamed = [[row[0], row[1].replace("Oslo", "Paris"), *row[2:]] for row in rows]
    assert not opened(a, write(tmp_path / "c.csv", renamed)).identical


def test_tables_that_are_the_same_are_warned_about_like_others(tmp_path):
    (tmp_path / "a.csv").write_text("\n".join(["id,x", *(f"{k},{k % 7}" for k in range(60))]) + "\n")
    identifier, same = opened(tmp_path / "a.csv", tmp_path / "a.csv").warnings
    assert "looks like an identifier" in identifier
    assert "the same rows" in same


def test_a_digest_does_not_depend_on_the_other_table_or_the_scale(tmp_path):
    a, b = write(tmp_path / "a.csv", rows_of(0)), write(tmp_path / "b.csv", rows_of(1, cities=CITIES))
    digests = {opened(a, other, **more).a.digest for other in (a, b) for more in ({}, {"scale": "iqr"})}
    assert len(digests) == 1


def test_tables_of_different_widths_are_refused_even_if_their_coordinates_are_equally_many(tmp_path):
    """A number and a category of three levels take four coordinates, as do two numbers and a category of two levels."""
    (tmp_path / "a.csv").write_text("".join(f"{k},{'uvw'[k % 3]}\n" for k in range(60)))
    (tmp_path / "b.csv").write_text("".join(f"{'uv'[k % 2]},{k % 5},{k % 7}\n" for k in range(60)))
    np.save(tmp_path / "c.npy", np.random.default_rng(0).normal(size=(60, 4)))
    for others, widths in (("b.csv", "2 columns but .* 3"), ("c.npy", "2 columns but .* 4")):
        with pytest.raises(SourceError, match=f"has {widths}; give tables with the same columns"):
            jointly_encoded([open_source(tmp_path / "a.csv"), open_source(tmp_path / others)], Access(), seed=0)
