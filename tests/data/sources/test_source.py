"""Units of stored values."""

import numpy as np
import pytest
import torch

from tests.data.sources.conftest import refused
from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.data.survey import finite_rows, survey
from wdist.errors import SourceError


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
    assert open_source(np.zeros((20, 2), dtype=np.uint8)).info.notes[0].endswith("; floats keep their values")


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
