"""Labels: the classes of a torchvision dataset, an array beside the samples in their file, or one that the user names."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from wdist.data.access import Access
from wdist.data.rows import in_units
from wdist.data.sources.address import Address, parse_address
from wdist.data.sources.array_files import array_names
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource, ReorderedRows, SelectedRows, SourceInfo
from wdist.data.sources.torchvision_dataset import dataset_labels
from wdist.errors import SourceError

NAMES = ("labels", "label", "targets", "y")
"""Names of an array of labels, beside one other array."""


class LabelledSamples(NamedTuple):
    """Samples of one source with their classes."""

    info: SourceInfo
    x: Tensor
    """float64, shape (n, dim), in the units of the source."""
    labels: Tensor
    """int64, shape (n,)."""


def read_labelled(data: Any, labels: Any = None, access: Access = Access(), *, seed: int = 0) -> LabelledSamples:
    """Reads all samples of a source, with their classes, into memory.

    Arguments:
        data: an address, an array, a tensor or an open source of samples.
        labels: class numbers 0, 1, ...: an address, an array or a tensor, for the samples of ``data``; None for those of its
            torchvision dataset, or of an array ``labels`` in the same HDF5 or ``.npz`` file.
        access: permissions.
        seed: of ``?limit=``.

    Raises:
        SourceError: the labels are missing or not as many as the samples, or the samples are drawn without end, or some are not
            finite and ``access`` does not drop them.
    """
    address = parse_address(data) if isinstance(data, str | Path) else None
    beside = None
    if address is not None and address.scheme == "file" and labels is None:
        address, beside = _with_labels(address)
    source = open_source(data if address is None else address.text, access, seed=seed)
    if not isinstance(source, FiniteSource):
        raise SourceError(
            f"{source.info.address} draws samples without end, which have no labels; give a file or a torchvision dataset"
        )
    if labels is not None or beside is not None:
        classes = _read(beside if labels is None else labels, access)
    elif address is not None and address.scheme == "torchvision":
        classes = dataset_labels(address, access)
    else:
        raise SourceError(f"{source.info.address} has no labels; give them with --labels FILE")
    classes = _matched(classes, source)
    x = in_units(source.read(slice(0, source.count)), source.info)
    return _finite(LabelledSamples(info=source.info, x=x, labels=torch.from_numpy(classes)), access)


def _finite(samples: LabelledSamples, access: Access) -> LabelledSamples:
    """The samples without NaN and infinity; SourceError if there are others and ``access`` does not drop them."""
    whole = torch.isfinite(samples.x).all(1)
    dropped = int((~whole).sum())
    if not dropped:
        return samples
    if not access.drop_nonfinite or dropped == len(whole):
        raise SourceError(f"{samples.info.address} holds NaN or infinity in {dropped} samples; --drop-nonfinite leaves them out")
    info = replace(samples.info, count=len(whole) - dropped, dropped=samples.info.dropped + dropped)
    return LabelledSamples(info=info, x=samples.x[whole], labels=samples.labels[whole])


def _with_labels(address: Address) -> tuple[Address, str | None]:
    """The addresses of the samples and of the labels beside them; if one other array is there, the former names it."""
    if address.is_remote or address.compression or address.path.is_dir() or not address.path.exists():
        return address, None
    names = array_names(address)
    group = "" if address.key is None else address.key.strip("/").rpartition("/")[0]
    found = next((f"{group}/{name}".strip("/") for name in NAMES if f"{group}/{name}".strip("/") in names), None)
    if found is None:
        return address, None
    others = [name for name in names if name != found]
    if address.key is None and len(others) == 1:
        completed = f"{address.location}:{others[0]}{address.text.removeprefix(address.location)}"
        address = replace(address, key=others[0], text=completed)
    return address, f"{address.location}:{found}"


def _read(labels: Any, access: Access) -> np.ndarray:
    """All labels, as whole numbers."""
    source = open_source(labels, access)
    name = source.info.address
    if not isinstance(source, FiniteSource) or source.info.dim != 1:
        raise SourceError(f"{name} does not hold one class number per sample; give a single column of whole numbers")
    values = source.read(slice(0, source.count)).flatten().double().numpy()
    if not (np.isfinite(values).all() and (values == np.floor(values)).all() and (values >= 0).all()):
        raise SourceError(f"{name} does not hold class numbers; number the classes 0, 1, 2, ...")
    return values.astype(np.int64)


def _matched(classes: np.ndarray, source: FiniteSource) -> np.ndarray:
    """The labels of the rows that a source chooses; ``classes`` holds those of all stored rows, or of the chosen ones only."""
    positions, stored = _positions(source)
    if len(classes) == stored:
        return np.ascontiguousarray(classes[positions], dtype=np.int64)
    if len(classes) == source.count:
        return np.ascontiguousarray(classes, dtype=np.int64)
    raise SourceError(f"{source.info.address} has {source.count} samples, but {len(classes)} labels; give one label for each")


def _positions(source: FiniteSource) -> tuple[np.ndarray, int]:
    """Positions of the rows of a source among all stored rows, and the number of these."""
    if isinstance(source, SelectedRows):
        inner, stored = _positions(source.source)
        return inner[source.index], stored
    if isinstance(source, ReorderedRows):
        return _positions(source.source)
    return np.arange(source.count), source.count
