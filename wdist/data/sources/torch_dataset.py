"""Map-style datasets of torch: numbered samples, alone or followed by a label."""

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import IterableDataset

from wdist.data.sources.arrays import ArraySource, accepted, open_values, tensor_of
from wdist.data.sources.images import ImageFormat, check_shape
from wdist.errors import SourceError, explained, first_line

_NAME = "<dataset>"


def open_dataset(dataset: Any) -> ArraySource:
    """All samples of a dataset; each is read once, because a random transform would return another one later.

    Raises:
        SourceError: the dataset has no length, or its samples are not tensors, arrays, numbers or images of one shape.
    """
    if isinstance(dataset, IterableDataset) or not hasattr(dataset, "__len__"):
        raise SourceError(f"{_NAME} has no numbered samples; pass some of them as a tensor")

    def failed(error: Exception) -> SourceError:
        what = f"{type(error).__name__}: {first_line(error)}"
        return SourceError(f"{_NAME} failed to return a sample ({what}); correct the dataset, or pass its samples as a tensor")

    with explained(failed):
        count = len(dataset)
        if not count:
            raise SourceError(f"{_NAME} is empty; give one with samples")
        first = sample_of(dataset[0], ImageFormat(), _NAME)
        samples = np.empty((count, *first.shape), dtype=first.dtype)
        samples[0] = first
        for number in range(1, count):
            sample = sample_of(dataset[number], ImageFormat(), _NAME)
            samples[number] = check_shape(sample, first.shape, f"{_NAME} sample {number}", "make them alike with a transform")
    return open_values(samples, address=_NAME)


def sample_of(item: Any, wanted: ImageFormat, name: str, way_out: str = "return tensors, arrays, numbers or images") -> np.ndarray:
    """The sample in an item of a dataset: the item itself, or the first element of a tuple or list like (sample, label)."""
    value = item[0] if isinstance(item, tuple | list) and item else item
    if isinstance(value, Image.Image):
        return wanted.pixels(value)
    if isinstance(value, Tensor):
        tensor = accepted(value, name)
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    if isinstance(value, np.ndarray | np.generic | float | int):
        return tensor_of(np.asarray(value), name).numpy()
    raise SourceError(f"{name}: its samples are of type {type(value).__name__}; {way_out}")
