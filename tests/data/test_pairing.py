"""Checks that two sources can be compared."""

from contextlib import closing

import numpy as np
import pytest
import torch
from PIL import Image

from tests.data.sources.conftest import write_convolutional
from wdist.data import comparable as comparable_module
from wdist.data import measure
from wdist.data.access import Access
from wdist.data.comparable import check_comparable, comparable, observed_range
from wdist.data.pairing import open_pair
from wdist.data.rows import gather
from wdist.data.sources import images
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError


def bytes_file(folder):
    np.save(folder / "b.npy", np.arange(256, dtype=np.uint8).reshape(32, 8))
    return f"{folder}/b.npy"


def of_shape(*shape, kind=np.float32):
    return open_source(np.zeros((20, *shape), dtype=kind))


def test_equal_shapes_are_compared_without_a_word():
    for a, b in (((3,), (3,)), ((), (1,)), ((28, 28), (28, 28)), ((1, 28, 28), (28, 28)), ((28, 28, 1), (1, 28, 28))):
        assert check_comparable(of_shape(*a), of_shape(*b)) == ()


def test_a_flattened_shape_is_compared_with_a_word():
    (warning,) = check_comparable(of_shape(28, 28), of_shape(784))
    assert "(28, 28)" in warning
    assert "(784,)" in warning


@pytest.mark.parametrize(("a", "b"), [((3,), (4,)), ((28, 28), (32, 32)), ((), (2,)), ((4, 6), (6, 4)), ((3, 8, 8), (8, 8, 3))])
def test_different_shapes_are_refused_and_both_named(a, b):
    with pytest.raises(SourceError) as caught:
        check_comparable(of_shape(*a), of_shape(*b))
    assert str(a) in str(caught.value)
    assert str(b) in str(caught.value)
    assert ("?channels=last" in str(caught.value)) == (len(a) == 3)


def test_folders_of_images_in_other_modes_are_refused_with_the_option_that_converts_them(tmp_path):
    for mode in ("L", "RGB", "RGBA"):
        (tmp_path / mode).mkdir()
        for number in range(20):
            Image.new(mode, (8, 6), number).save(tmp_path / mode / f"{number}.png")
    for mode in ("L", "RGBA"):
        with pytest.raises(SourceError, match=r"read both in one mode, \?mode=RGB"):
            check_comparable(open_source(tmp_path / "RGB"), open_source(tmp_path / mode))
        converted = open_source(f"{tmp_path / mode}?mode=RGB")
        assert check_comparable(open_source(tmp_path / "RGB"), converted) == ()


@pytest.mark.parametrize("options", ["", "?limit=30", "?channels=first"])
@pytest.mark.parametrize("fitting", [True, False])
def test_images_that_fit_into_memory_are_decoded_once(options, fitting, tmp_path, monkeypatch):
    """By the survey, which keeps them; opening a folder decodes its first image to learn the shape."""
    for number in range(80):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        Image.fromarray(np.full((6, 8, 3), number, dtype=np.uint8)).save(folder / f"{number}.png")
    decoded, pixels = [], images._pixels
    monkeypatch.setattr(images, "_pixels", lambda path, wanted: decoded.append(path.name) or pixels(path, wanted))
    for module in (comparable_module, measure):
        monkeypatch.setattr(module, "fits", lambda nbytes: fitting)
    sides = [f"{tmp_path / name}{options}" for name in "ab"]
    with closing(open_pair(*sides, access=Access(), seed=0, device=torch.device("cpu"))) as pair:
        assert pair.a.streamed != fitting
        count = pair.a.everything.count + pair.b.everything.count
        if fitting:
            assert len(decoded) == count + 2
            wanted = open_source(sides[0]).read(slice(0, 5))
            assert torch.equal(gather(pair.a.everything)[:5], wanted.double() / 255)
        else:
            assert len(decoded) > count + 2


def test_ranges_that_look_like_two_scalings_are_refused_unless_one_is_chosen(tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((20, 8)))
    wide, narrow = open_source(tmp_path / "wide.npy"), open_source(bytes_file(tmp_path))
    for pair in (((wide, narrow), (0, 255), (0, 1)), ((narrow, wide), (0.0, 1.0), (3.0, 254.0))):
        with pytest.raises(SourceError, match=r"0\.\.255|3\.\.254"):
            check_comparable(*pair[0], *pair[1:])
    chosen = open_source(f"{tmp_path}/wide.npy?range=raw")
    assert check_comparable(chosen, narrow, (0, 255), (0, 1)) == ()
    (told,) = check_comparable(wide, narrow, (-300, 255), (0, 1))
    assert "b.npy is uint8 scaled to [0, 1], and " in told
    assert check_comparable(wide, narrow, (0, 255), None) == ()


def test_values_without_addresses_may_differ_in_scale():
    """Nobody could confirm the difference of a waiting time up to 40 and a share."""
    wide, narrow = open_source(np.linspace(0, 40, 20)), open_source(np.linspace(0, 1, 20))
    (told,) = check_comparable(narrow, wide, (0, 1), (0, 40))
    assert told.endswith("looks like two scalings of the same data; if so, rescale the first")


@pytest.mark.parametrize(("high", "kind"), [(9, np.int64), (65535, np.uint16), (3.5, np.float64)])
def test_scaled_bytes_beside_values_as_they_are_stored_are_pointed_out(high, kind, tmp_path):
    """Nobody asked for the scaling of uint8, which would make a distance out of equal counts."""
    paths = [tmp_path / "counts.npy", tmp_path / "others.npy"]
    np.save(paths[0], np.linspace(0, min(high, 255), 20).astype(np.uint8))
    np.save(paths[1], np.linspace(0, high, 20).astype(kind))
    (told,) = comparable([open_source(path) for path in paths], Access(), seed=0, mapped=False)[1].warnings
    assert "counts.npy is uint8 scaled to [0, 1]" in told
    assert "add ?range=raw to the former" in told
    raw = open_source(f"{paths[0]}?range=raw")
    assert comparable([raw, open_source(paths[1])], Access(), seed=0, mapped=False)[1].warnings == ()


def test_images_in_two_conventions_are_compared_with_a_word():
    images = of_shape(8, 8)
    assert len(check_comparable(images, images, (-1, 1), (0, 1))) == 1
    assert check_comparable(images, images, (0, 1), (0, 0.9)) == ()
    assert check_comparable(of_shape(8), of_shape(8), (-1, 1), (0, 1)) == ()


def test_the_range_of_a_generator_is_looked_at_and_that_of_a_distribution_is_not(tmp_path):
    low, high = observed_range(open_source(write_convolutional(tmp_path), Access(trust=True)), None)
    assert 0 <= low < high <= 1
    assert observed_range(open_source("synthetic:gaussian?dim=2"), None) is None


class Frame:
    """Interface that data frames of several libraries have in common."""

    def __init__(self, columns, rows):
        self.columns, self._rows = columns, np.asarray(rows)

    def to_numpy(self):
        return self._rows

    def __array__(self, dtype=None, copy=None):
        return self._rows


def table(path, names, rows):
    np.savetxt(path, rows, delimiter=",", header=",".join(names), comments="")
    return str(path)


ROWS = np.random.default_rng(0).normal(size=(40, 3)) * [1, 10, 100]


def opened_pair(a, b):
    return open_pair(a, b, access=Access(), seed=0, device=torch.device("cpu"))


@pytest.mark.parametrize("made", ["files", "frames"])
def test_columns_are_matched_by_name(made, tmp_path):
    order = [2, 0, 1]
    names = ["x", "y", "z"]
    if made == "files":
        a = table(tmp_path / "a.csv", names, ROWS)
        b = table(tmp_path / "b.csv", [names[i] for i in order], ROWS[:, order])
    else:
        a, b = Frame(names, ROWS), Frame([names[i] for i in order], ROWS[:, order])
    pair = opened_pair(a, b)
    assert pair.identical
    assert [column.name for column in pair.b.info.columns] == ["x", "y", "z"]
    assert "by name" in pair.b.info.notes[-1]


def test_other_columns_are_refused_chosen_or_taken_by_position(tmp_path):
    a = table(tmp_path / "a.csv", ["x", "y", "z"], ROWS)
    b = table(tmp_path / "b.csv", ["x", "y", "w"], ROWS)
    with pytest.raises(
        SourceError, match=r"b.csv has no column 'z', unlike .*a.csv; leave out columns that only one has with \?without="
    ):
        opened_pair(a, b)
    assert opened_pair(f"{a}?columns=y,x", f"{b}?columns=x,y").a.info.event_shape == (2,)
    assert opened_pair(a, f"{b}?names=no").identical
    wide = table(tmp_path / "c.csv", ["x", "y", "z", "v"], np.c_[ROWS, ROWS[:, 0]])
    with pytest.raises(SourceError, match=r"a.csv has no column 'v', unlike .*c.csv"):
        opened_pair(a, wide)
    assert opened_pair(a, f"{wide}?columns=z,x,y").identical


@pytest.mark.parametrize(
    ("query", "sentence"),
    [("columns=x,q", "no column 'q'"), ("columns=x,x", "names a column twice"), ("names=maybe", "names=maybe")],
)
def test_columns_that_are_not_there_are_refused(query, sentence, tmp_path):
    a = table(tmp_path / "a.csv", ["x", "y", "z"], ROWS)
    with pytest.raises(SourceError, match=sentence):
        open_source(f"{a}?{query}")


def test_a_table_without_names_is_taken_by_position(tmp_path):
    np.savetxt(tmp_path / "a.csv", ROWS, delimiter=",")
    b = table(tmp_path / "b.csv", ["z", "y", "x"], ROWS)
    assert opened_pair(tmp_path / "a.csv", b).identical
    with pytest.raises(SourceError, match="no column 'x'; the columns are column 1, column 2"):
        open_source(f"{tmp_path}/a.csv?columns=x")


def test_channels_are_moved_where_no_doubt_is_possible_and_a_note_says_so():
    first, last = torch.rand(60, 3, 8, 8), torch.rand(60, 8, 8, 3) + 0.1
    with closing(opened_pair(first, last)) as pair:
        assert pair.b.info.event_shape == (3, 8, 8)
        assert "channels are moved first" in pair.b.info.notes[0]
        moved = gather(pair.b.everything)
        torch.testing.assert_close(moved, last.permute(0, 3, 1, 2).flatten(1).double())
    with closing(opened_pair(last, first)) as pair:
        assert pair.b.info.event_shape == (8, 8, 3)
        assert "channels are moved last" in pair.b.info.notes[0]


@pytest.mark.parametrize("shapes", [((3, 3, 4), (3, 4, 3)), ((3, 8, 9), (9, 8, 3)), ((2, 8, 8), (8, 8, 2))])
def test_channels_that_could_be_something_else_are_refused(shapes):
    with pytest.raises(SourceError, match="in another order"):
        opened_pair(*(torch.rand(60, *shape) for shape in shapes))


@pytest.mark.parametrize("draws", [None, 300])
def test_so_many_draws_are_held_out_as_are_asked_for(draws):
    source = "synthetic:gaussian?dim=2"
    with closing(open_pair(source, source, access=Access(), seed=0, device=torch.device("cpu"), draws=draws)) as pair:
        assert pair.a.held_out.count == pair.b.everything.count == (draws or 20_000)


def warnings_of(a, b):
    with closing(open_pair(a, b, access=Access(), seed=0, device=torch.device("cpu"))) as pair:
        return pair.warnings


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_samples_on_both_sides_are_told_of_because_the_sides_are_not_independent(dtype):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 200, 3)).astype(dtype)
    (warning,) = warnings_of(x, np.concatenate([y, x[50:130]])[random.permutation(280)])
    assert warning.startswith("80 samples of A also occur in B")
    assert "leave these samples out of one side" in warning
    assert warnings_of(x, y) == ()
    assert warnings_of(x, np.concatenate([y, x[:2]])) == (), "one in a hundred may be chance"


def test_samples_that_repeat_within_a_side_may_repeat_on_the_other():
    random = np.random.default_rng(0)
    x, y = random.integers(0, 9, size=(2, 200, 2)).astype(float)
    assert warnings_of(x, y) == ()
