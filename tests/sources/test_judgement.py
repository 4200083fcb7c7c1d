"""What is concluded from values: units, finiteness, comparability, memory, inspection."""

import numpy as np
import psutil
import pytest
import torch

from tests.sources.conftest import ARRAYS, refused, write_convolutional, write_dense, write_images, write_torchscript
from wdist.errors import SourceError
from wdist.sources import memory
from wdist.sources.comparable import check_comparable, drawn_range
from wdist.sources.inspection import inspect_source
from wdist.sources.opening import open_source
from wdist.sources.source import Access
from wdist.sources.survey import finite_rows, survey


def everything(source):
    return source.read(slice(0, source.count))


def bytes_file(folder):
    np.save(folder / "b.npy", np.arange(256, dtype=np.uint8).reshape(32, 8))
    return f"{folder}/b.npy"


@pytest.mark.parametrize(
    ("option", "ends", "words"),
    [
        ("", (0, 1), "uint8 scaled to [0, 1]"),
        ("?range=unit", (0, 1), "uint8 scaled to [0, 1]"),
        ("?range=symmetric", (-1, 1), "uint8 scaled to [-1, 1]"),
        ("?range=raw", (0, 255), "as stored"),
        ("?range=unit&stored=0:51", (0, 5), "uint8 scaled from 0..51 to [0, 1]"),
    ],
)
def test_bytes_are_scaled_as_the_address_says(option, ends, words, tmp_path):
    source = open_source(bytes_file(tmp_path) + option)
    found = survey(source)
    assert (found.minimum, found.maximum) == pytest.approx(ends)
    assert source.info.units == words
    assert everything(source).dtype == torch.uint8, "stored values stay small"


def test_the_scaling_of_bytes_is_told():
    assert "range=raw" in open_source(np.zeros((20, 2), dtype=np.uint8)).info.notes[0]


def test_other_types_keep_their_values_unless_their_range_is_declared(tmp_path):
    np.save(tmp_path / "x.npy", np.linspace(0, 255, 40, dtype=np.float32))
    assert open_source(tmp_path / "x.npy").info.bounds is None
    refused(f"{tmp_path}/x.npy?range=unit", "add &stored=0:255")
    refused(f"{tmp_path}/x.npy?range=unti", "did you mean 'unit'")
    source = open_source(f"{tmp_path}/x.npy?range=unit&stored=0:255")
    assert survey(source).maximum == pytest.approx(1.0)
    assert source.info.bounds == (0.0, 1.0)
    wrong = open_source(f"{tmp_path}/x.npy?range=unit&stored=0:100")
    with pytest.raises(SourceError, match="outside of 0 to 1"):
        finite_rows(wrong, survey(wrong), Access())


def spoiled(kind, rows):
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(kind)
    values[rows, 1] = np.nan
    values[rows[0], 2] = np.inf
    return values


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_rows_that_are_not_finite_are_named_or_dropped(kind):
    values = spoiled(kind, [4, 17, 48])
    source = open_source(values)
    found = survey(source)
    assert found.nonfinite.tolist() == [4, 17, 48]
    with pytest.raises(SourceError, match=r"3 of 50 rows \(4, 17, 48\) hold NaN or infinity; .*--drop-nonfinite"):
        finite_rows(source, found, Access())
    kept = finite_rows(source, found, Access(drop_nonfinite=True))
    assert (kept.count, kept.info.count, kept.info.dropped) == (47, 47, 3)
    assert np.array_equal(everything(kept).numpy(), np.delete(values, [4, 17, 48], axis=0))
    assert np.isfinite([found.minimum, found.maximum]).all()


def test_one_bad_row_and_many():
    for rows, words in (([4], "row 4 holds"), (list(range(9)), r"9 of 50 rows \(0, 1, 2, 3, 4, \.\.\.\)")):
        source = open_source(spoiled(float, rows))
        with pytest.raises(SourceError, match=words):
            finite_rows(source, survey(source), Access())


def test_finite_sources_are_handed_back_as_they_are():
    source = open_source(np.ones((20, 2)))
    assert finite_rows(source, survey(source), Access()) is source
    assert survey(source).constant


def test_too_few_samples_are_refused():
    source = open_source(np.ones((19, 2)))
    with pytest.raises(SourceError, match="19 usable samples; give at least 20"):
        finite_rows(source, survey(source), Access())
    none_left = open_source(np.full((30, 2), np.nan))
    found = survey(none_left)
    assert (found.minimum, found.maximum, found.constant) == (None, None, False)
    with pytest.raises(SourceError, match="0 usable samples"):
        finite_rows(none_left, found, Access(drop_nonfinite=True))


def test_the_survey_does_not_depend_on_how_the_rows_are_cut(monkeypatch):
    values = spoiled(np.float32, [3, 30])
    whole = survey(open_source(values))
    monkeypatch.setattr("wdist.sources.survey._BYTES_AT_ONCE", 24 * 7)
    cut = survey(open_source(values))
    assert (whole.digest, whole.minimum, whole.maximum) == (cut.digest, cut.minimum, cut.maximum)
    assert np.array_equal(whole.nonfinite, cut.nonfinite)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_extreme_values_are_surveyed_exactly(scale):
    values = np.linspace(-1, 1, 30) * scale
    found = survey(open_source(values))
    assert (found.minimum, found.maximum, len(found.nonfinite)) == (-scale, scale, 0)


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


def test_channels_can_be_moved(tmp_path):
    first = open_source(f"{write_images(tmp_path)}?channels=first")
    last = open_source(f"{write_images(tmp_path)}")
    assert first.info.event_shape == (3, 6, 5)
    moved = everything(first).reshape(-1, 3, 6, 5).permute(0, 2, 3, 1).reshape(24, -1)
    assert torch.equal(moved, everything(last))
    refused(f"{ARRAYS['npy'](tmp_path)}?channels=first", "leave out channels=")


def test_ranges_that_look_like_two_scalings_are_refused_unless_one_is_chosen(tmp_path):
    np.save(tmp_path / "wide.npy", np.zeros((20, 8)))
    wide, narrow = open_source(tmp_path / "wide.npy"), open_source(bytes_file(tmp_path))
    for pair in (((wide, narrow), (0, 255), (0, 1)), ((narrow, wide), (0.0, 1.0), (3.0, 254.0))):
        with pytest.raises(SourceError, match=r"0\.\.255|3\.\.254"):
            check_comparable(*pair[0], *pair[1:])
    chosen = open_source(f"{tmp_path}/wide.npy?range=raw")
    assert check_comparable(chosen, narrow, (0, 255), (0, 1)) == ()
    assert check_comparable(wide, narrow, (-300, 255), (0, 1)) == ()
    assert check_comparable(wide, narrow, (0, 255), None) == ()


def test_images_in_two_conventions_are_compared_with_a_word():
    images = of_shape(8, 8)
    assert len(check_comparable(images, images, (-1, 1), (0, 1))) == 1
    assert check_comparable(images, images, (0, 1), (0, 0.9)) == ()
    assert check_comparable(of_shape(8), of_shape(8), (-1, 1), (0, 1)) == ()


def test_the_range_of_a_generator_is_looked_at_and_that_of_a_distribution_is_not(tmp_path):
    low, high = drawn_range(open_source(write_convolutional(tmp_path), Access(trust=True)))
    assert 0 <= low < high <= 1
    assert drawn_range(open_source("synthetic:gaussian?dim=2")) is None


def test_free_memory_is_the_least_of_all_limits(monkeypatch, tmp_path):
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total
    monkeypatch.setattr(memory, "_process_headroom", lambda: 1000)
    assert memory.free_memory() == 1000
    assert memory.fits(500)
    assert not memory.fits(501)


def test_the_limit_of_a_control_group_counts_without_its_cache(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert memory._group_headroom(tmp_path) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._group_headroom(tmp_path) > 1e15
    assert memory._group_headroom(tmp_path / "none") > 1e15


def test_inspection_of_an_array(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[5] = values[9] = values[1]
    values[7, 0] = np.nan
    values[:, 2] = 4
    np.save(tmp_path / "x.npy", values)
    found = inspect_source(f"{tmp_path}/x.npy")
    assert (found.kind, found.samples, found.event_shape, found.dtype) == ("array", 40, (3,), "float64")
    assert (found.nonfinite_rows, found.first_nonfinite, found.duplicate_rows, found.constant_features) == (1, (7,), 2, 1)
    assert "--drop-nonfinite" in found.missing[0]


@pytest.mark.parametrize("name", ["h5", "npz", "safetensors"])
def test_inspection_lists_what_a_file_holds(name, tmp_path):
    path = ARRAYS[name](tmp_path).rpartition(":")[0]
    found = inspect_source(path)
    assert len(found.contents) == 2
    assert "60x2x3" in " ".join(found.contents)
    assert "name one" in found.missing[0]


def test_inspection_of_checkpoints_says_what_is_missing_to_use_them(tmp_path):
    address = write_dense(tmp_path)
    bare = inspect_source(f"{tmp_path}/dense.safetensors")
    assert bare.kind == "checkpoint"
    assert any(line.startswith("net.0.weight: 8x4") for line in bare.contents)
    assert "factory=" in bare.missing[0]
    assert "--trust" in inspect_source(address).missing[0]
    assert "latent" not in inspect_source(address).missing[0]
    opened = inspect_source(address, Access(trust=True))
    assert (opened.kind, opened.missing, opened.event_shape) == ("generator", (), (2, 3))
    wrong = inspect_source(address.replace("Dense", "Convolutional"), Access(trust=True))
    assert "does not fit" in wrong.missing[0]
    write_convolutional(tmp_path)
    assert "G:net.0.weight: 5x3x6x6 float32" in inspect_source(f"{tmp_path}/conv.pt").contents
    assert "--trust" in inspect_source(write_torchscript(tmp_path)).missing[0]


def test_inspection_counts_sizes_and_modes_of_images(tmp_path):
    found = inspect_source(write_images(tmp_path))
    assert (found.kind, found.samples, found.contents) == ("image-folder", 24, ("6x5 RGB: 24 images",))


def test_inspection_of_an_endless_source_looks_at_draws():
    found = inspect_source("synthetic:cones?side=b")
    assert (found.samples, found.minimum, found.maximum, found.constant_features) == (None, -2.0, 2.0, 1)


@pytest.mark.parametrize("name", ["h5", "npy", "npz", "safetensors", "pt"])
def test_inspection_of_a_damaged_file_is_refused(name, tmp_path):
    address = ARRAYS[name](tmp_path)
    path = tmp_path / f"a.{name}"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SourceError, match=f"a.{name}"):
        inspect_source(address)
