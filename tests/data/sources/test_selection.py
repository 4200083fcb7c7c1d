"""Selected rows and the order of axes."""

import numpy as np
import pytest
import torch

from tests.data.sources.conftest import ARRAYS, refused, write_images
from wdist.data.sources.opening import open_source


def everything(source):
    return source.read(slice(0, source.count))


def test_channels_can_be_moved(tmp_path):
    folder = write_images(tmp_path)
    first, last = open_source(f"{folder}?channels=first"), open_source(folder)
    assert first.info.event_shape == (3, 6, 5)
    moved = everything(first).reshape(-1, 3, 6, 5).permute(0, 2, 3, 1).reshape(24, -1)
    assert torch.equal(moved, everything(last))
    refused(f"{ARRAYS['npy'](tmp_path)}?channels=first", "leave out channels=")


def test_a_limit_is_a_seeded_sorted_choice_without_repetition(tmp_path):
    address = f"{ARRAYS['npy'](tmp_path)}?limit=20"
    chosen = [open_source(address, seed=seed).index for seed in (0, 0, 1)]
    assert np.array_equal(chosen[0], chosen[1])
    assert not np.array_equal(chosen[0], chosen[2])
    assert (np.diff(chosen[0]) > 0).all()
    assert open_source(f"{ARRAYS['npy'](tmp_path)}?limit=1000").count == 60


def test_two_files_do_not_share_the_row_numbers_of_a_limit(tmp_path):
    ARRAYS["npy"](tmp_path)
    (tmp_path / "b.npy").write_bytes((tmp_path / "a.npy").read_bytes())
    a, b = (open_source(f"{tmp_path}/{name}.npy?limit=20").index for name in "ab")
    assert not np.array_equal(a, b)


@pytest.mark.parametrize("rows", ["5:5", "60:70", "x", "3", "9:2", "-5:3", "0:61", "0:99999999", "99:"])
def test_rows_that_do_not_exist_are_refused(rows, tmp_path):
    refused(f"{ARRAYS['npy'](tmp_path)}?rows={rows}", "rows=")


@pytest.mark.parametrize("limit", ["0", "-3", "x", "1.5"])
def test_a_limit_must_be_a_whole_number(limit, tmp_path):
    refused(f"{ARRAYS['npy'](tmp_path)}?limit={limit}", "limit=")
