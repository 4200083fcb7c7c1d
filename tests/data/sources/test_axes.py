"""The order of an image's axes."""

import torch

from tests.data.sources.conftest import ARRAYS, refused, write_images
from wdist.data.sources.opening import open_source


def everything(source):
    return source.read(slice(0, source.count))


def test_channels_can_be_moved(tmp_path):
    first = open_source(f"{write_images(tmp_path)}?channels=first")
    last = open_source(f"{write_images(tmp_path)}")
    assert first.info.event_shape == (3, 6, 5)
    moved = everything(first).reshape(-1, 3, 6, 5).permute(0, 2, 3, 1).reshape(24, -1)
    assert torch.equal(moved, everything(last))
    refused(f"{ARRAYS['npy'](tmp_path)}?channels=first", "leave out channels=")
