"""Inspection of sources of every kind."""

import numpy as np
import pytest
from PIL import Image

from tests.data.sources.conftest import ARRAYS, write_convolutional, write_dense, write_images, write_torchscript
from wdist.data.access import Access
from wdist.data.inspection import inspect_source
from wdist.errors import SourceError


def test_inspection_of_an_array(tmp_path):
    values = np.random.default_rng(0).normal(size=(40, 3))
    values[5] = values[9] = values[1]
    values[7, 0] = np.nan
    values[:, 2] = 4
    np.save(tmp_path / "x.npy", values)
    found = inspect_source(f"{tmp_path}/x.npy")
    assert (found.kind, found.samples, found.event_shape, found.dtype) == ("array", 40, (3,), "float64")
    assert (found.nonfinite_rows, found.first_nonfinite, found.duplicate_rows, found.constant_features) == (1, (7,), 2, 1)
    assert "drop_nonfinite=True" in found.missing[0]


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
    assert "trust=True" in inspect_source(address).missing[0]
    assert "latent" not in inspect_source(address).missing[0]
    opened = inspect_source(address, Access(trust=True))
    assert (opened.kind, opened.missing, opened.event_shape) == ("generator", (), (2, 3))
    wrong = inspect_source(address.replace("Dense", "Convolutional"), Access(trust=True))
    assert "does not fit" in wrong.missing[0]
    write_convolutional(tmp_path)
    assert "G:net.0.weight: 5x3x6x6 float32" in inspect_source(f"{tmp_path}/conv.pt").contents
    assert "trust=True" in inspect_source(write_torchscript(tmp_path)).missing[0]


def test_inspection_counts_sizes_and_modes_of_images(tmp_path):
    found = inspect_source(write_images(tmp_path))
    assert (found.kind, found.samples, found.contents) == ("image-folder", 24, ("6x5 RGB: 24 images",))


def test_inspection_of_images_of_many_sizes_lists_the_most_frequent(tmp_path):
    for number in range(15):
        Image.new("L", (4 + number % 14, 4)).save(tmp_path / f"{number}.png")
    found = inspect_source(str(tmp_path))
    assert (found.contents[0], found.contents[-1]) == ("4x4 L: 2 images", "2 more sizes or modes")
    assert len(found.contents) == 13


def test_inspection_states_nothing_about_values_that_could_not_be_read(tmp_path):
    """Such a column is not constant, and its rows do not repeat."""
    (tmp_path / "x.csv").write_text("a,b\n" + "".join(f"{'n.a.' if k % 9 == 0 else k},{k % 7}\n" for k in range(40)))
    found = inspect_source(f"{tmp_path}/x.csv")
    assert "'n.a.' instead of a number in the column 'a'" in found.missing[0]
    facts = (found.minimum, found.maximum, found.duplicate_rows, found.constant_features, found.digest)
    assert facts == (None,) * 5


def test_inspection_of_an_endless_source_looks_at_draws():
    found = inspect_source("synthetic:cones?side=a")
    assert (found.samples, found.minimum, found.maximum, found.constant_features) == (None, -2.0, 2.0, 1)


@pytest.mark.parametrize("name", ["h5", "npy", "npz", "safetensors", "pt"])
def test_inspection_of_a_damaged_file_is_refused(name, tmp_path):
    address = ARRAYS[name](tmp_path)
    path = tmp_path / f"a.{name}"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(SourceError, match=f"a.{name}"):
        inspect_source(address)
