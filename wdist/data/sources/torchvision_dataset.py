"""Datasets of torchvision by name: ``torchvision:MNIST?split=train&classes=3,8&root=data``.

Their names and arguments come from the installed torchvision.
"""

import contextlib
import importlib
import inspect
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.data.access import Access
from wdist.data.sources.address import Address, expanded, literal, near_miss, suggestion
from wdist.data.sources.arrays import describe, open_values, shortened, type_name
from wdist.data.sources.images import IMAGE_OPTIONS, DecodedImages, ImageFormat, check_shape, only_known_formats, open_images
from wdist.data.sources.source import SELECTION_OPTIONS, UNIT_OPTIONS, FiniteSource, SelectedRows, units_of
from wdist.data.sources.torch_dataset import sample_of
from wdist.errors import SourceError, explained, first_line

DEFAULT_ROOT = "data"
_NOT_IN_AN_ADDRESS = ("self", "transform", "target_transform", "transforms", "loader", "is_valid_file", "download")
_SCHEMAS = {
    "nms": "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms": "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
}
_MISSING = re.compile(r"operator torchvision::(\w+) does not exist")
_declared: list[torch.library.Library] = []
"""Keeps declarations, which last as long as these objects."""


def open_torchvision(address: Address, access: Access) -> FiniteSource:
    """Opens a dataset of torchvision by the name of its class.

    ``split=`` becomes the argument ``split``, or ``train=True`` / ``train=False`` if the class has only that; ``classes=3,8`` keeps
    the samples with these labels, by number or by name; every other option is an argument of the class.
    """
    kind = _dataset_class(address)
    arguments = _arguments(kind, address, access)
    with _running(address):
        dataset = _made(kind, arguments, address, access)
    positions = _chosen_classes(dataset, address)
    source = _whole(dataset, address)
    if positions is not None:
        note = f"{len(positions)} of {source.count} samples have the classes {address.options['classes']}"
        source = SelectedRows(source, positions, notes=(note,))
    if "split" not in address.options and "train" in arguments:
        note = "the training part; ?split=test selects the test part"
        source.info = replace(source.info, notes=(*source.info.notes, note))
    return source


def dataset_labels(address: Address, access: Access) -> np.ndarray:
    """The class numbers of all samples of a dataset, in its own order, whichever samples the address chooses."""
    kind = _dataset_class(address)
    with _running(address):
        dataset = _made(kind, _arguments(kind, address, access), address, access)
    return _labels(dataset, address)


def dataset_names() -> list[str]:
    """Names of all datasets of the installed torchvision."""
    module = import_torchvision()
    return sorted(name for name in module.__all__ if inspect.isclass(getattr(module, name, None)) and name != "VisionDataset")


def _dataset_class(address: Address) -> Any:
    names = dataset_names()
    if address.location not in names:
        lower = {name.lower(): name for name in names}
        same = lower.get(address.location.lower())
        way_out = f"did you mean {same!r}?" if same else suggestion(address.location, names, "choose one of")
        raise SourceError(f"torchvision has no dataset {address.location!r}; {way_out}")
    return getattr(import_torchvision(), address.location)


def _arguments(kind: Any, address: Address, access: Access) -> dict[str, Any]:
    parameters = dict(inspect.signature(kind.__init__).parameters)
    if any(parameter.kind == parameter.VAR_KEYWORD for parameter in parameters.values()):
        # Relatives of MNIST, and ImageNet, pass further arguments on to their parent class.
        parent = next(each for each in kind.__mro__[1:] if "__init__" in vars(each))
        parameters = {**inspect.signature(parent.__init__).parameters, **parameters}
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    own = [name for name, each in parameters.items() if name not in _NOT_IN_AN_ADDRESS and each.kind not in variadic]
    by_train = "split" not in parameters and "train" in parameters
    resized = [option for option in IMAGE_OPTIONS if option not in own]
    ours = [*SELECTION_OPTIONS, *UNIT_OPTIONS, *resized, "classes", *(["split"] if by_train else [])]
    address.only(*ours, *own)
    for option in address.options:
        path = Path(address.options[option])
        if option in own and os.path.exists(path) and not (path.is_file() or path.is_dir()):  # a pipe might block forever
            raise SourceError(f"{address}: {option}={path} is not a regular file; save its content to one first")
    values = {name: literal(value) for name, value in address.options.items() if name in own and name not in ("root", "split")}
    if "split" in own and "split" in address.options:
        values["split"] = address.options["split"]
    if by_train and "train" not in values:
        values["train"] = address.choice("split", ("train", "test"), "train") == "train"
    if "root" in own:
        values["root"] = str(expanded(address.options.get("root", DEFAULT_ROOT)))
    if "download" in parameters:
        values["download"] = access.download
    missing = [name for name in own if parameters[name].default is inspect.Parameter.empty and name not in values]
    if missing:
        what = f"torchvision's {address.location} needs {' and '.join(missing)}"
        raise SourceError(f"{address}: {what}; add {address.sign}{missing[0]}=...")
    return values


def _made(kind: Any, arguments: dict[str, Any], address: Address, access: Access) -> Any:
    try:
        with contextlib.redirect_stdout(sys.stderr):  # some datasets print while they download
            return kind(**arguments)
    except ImportError as error:
        raise SourceError(f"{address}: torchvision's {address.location} needs another package ({error}); install it") from error
    except (ValueError, TypeError, AssertionError) as error:
        raise SourceError(f"{address}: torchvision refuses these options ({first_line(error)}); correct the address") from error
    except (RuntimeError, OSError) as error:
        root = arguments.get("root", DEFAULT_ROOT)
        if access.download and "download" in arguments:
            raise SourceError(
                f"{address}: the download to {root} failed ({first_line(error)}); try again, or download it by hand"
            ) from error
        download = ", or download it with --download" if "download" in arguments else ""
        raise SourceError(
            f"{address}: torchvision finds no complete {address.location} in {root} ({first_line(error)}); "
            f"name its folder with root={download}"
        ) from error


def _whole(dataset: Any, address: Address) -> FiniteSource:
    """All samples: from one array if the dataset has one, else decoded on demand."""
    with _running(address):
        count = len(dataset)
    if count < 1:
        raise SourceError(f"{address} is an empty dataset; choose another split")
    values = getattr(dataset, "data", None)
    resized = any(option in address.options for option in _image_options(dataset))
    if isinstance(values, Tensor | np.ndarray) and len(values) == count and values.ndim >= 2 and not resized:
        stored = type_name(values.dtype) if isinstance(values, Tensor) else values.dtype.name
        return open_values(values, units_of(stored, address), address=address.text, kind="torchvision")
    pairs = getattr(dataset, "samples", None)
    if (
        isinstance(pairs, list)
        and len(pairs) == count
        and all(isinstance(pair, tuple) and Path(str(pair[0])).is_file() for pair in pairs[:1])
    ):
        whole = replace(address, options={name: value for name, value in address.options.items() if name not in SELECTION_OPTIONS})
        return open_images([Path(pair[0]) for pair in pairs], whole, kind="torchvision")
    return _items(dataset, count, address)


@contextlib.contextmanager
def _running(address: Address) -> Iterator[None]:
    """A context that explains errors of torchvision, which reads its own files and checks few of its arguments."""

    def failed(error: Exception) -> SourceError:
        what = f"torchvision's {address.location} failed ({type(error).__name__}: {first_line(error)})"
        return SourceError(f"{address}: {what}; correct its options, or repair its files")

    with explained(failed), only_known_formats():
        yield


def _image_options(dataset: Any) -> list[str]:
    """The image options that are not arguments of the class."""
    own = inspect.signature(type(dataset).__init__).parameters
    return [option for option in IMAGE_OPTIONS if option not in own]


def _items(dataset: Any, count: int, address: Address) -> FiniteSource:
    options = {name: value for name, value in address.options.items() if name in _image_options(dataset)}
    wanted = ImageFormat.of(replace(address, options=options))

    def values(position: int) -> np.ndarray:
        with _running(address):
            return sample_of(dataset[position], wanted, str(address), "choose a dataset of images")

    first = values(0)
    info = describe((count, *first.shape), first.dtype.name, address.text, "torchvision", units_of(first.dtype.name, address))

    def load(position: int) -> np.ndarray:
        return check_shape(values(position), first.shape, f"{address.text} sample {position}")

    return DecodedImages(load, info, first.itemsize)


def _chosen_classes(dataset: Any, address: Address) -> np.ndarray | None:
    """Sorted positions of the samples with one of the labels in ``classes=``; None without that option."""
    if "classes" not in address.options:
        return None
    labels = _labels(dataset, address)
    names = [str(name) for name in getattr(dataset, "classes", [])]
    numbers = [_class_number(word.strip(), names, address) for word in address.options["classes"].split(",")]
    positions = np.flatnonzero(np.isin(labels, numbers))
    absent = [number for number in numbers if not (labels == number).any()]
    if absent:
        there = ", ".join(str(n) for n in np.unique(labels)[:20])
        raise SourceError(f"{address}: no sample has the class {absent[0]}; choose among {there}")
    return positions


def _class_number(word: str, names: list[str], address: Address) -> int:
    if re.fullmatch(r"-?\d{1,18}", word):
        return int(word)
    if word in names:
        return names.index(word)
    way_out = near_miss(word, names) or (f"choose among {shortened(names, 20)}" if names else "choose classes by number")
    raise SourceError(f"{address}: there is no class {word!r}; {way_out}")


def _labels(dataset: Any, address: Address) -> np.ndarray:
    for name in ("targets", "labels", "_labels", "y"):
        values = getattr(dataset, name, None)
        if values is not None and len(values) == len(dataset):
            labels = np.asarray(values.cpu() if isinstance(values, Tensor) else values)
            if labels.ndim == 1 and labels.dtype.kind in "iu":
                return labels
    with _running(address):
        labels = np.asarray([_label(dataset[position], address) for position in range(len(dataset))])
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise SourceError(f"{address}: its labels are not class numbers; choose a dataset of classes")
    return labels


def _label(item: Any, address: Address) -> Any:
    if not isinstance(item, tuple) or len(item) < 2:
        raise SourceError(f"{address}: its samples have no labels; choose a dataset of classes")
    return item[1].item() if isinstance(item[1], torch.Tensor) and item[1].numel() == 1 else item[1]


def import_torchvision(module: str = "torchvision.datasets") -> ModuleType:
    """Imports a module of torchvision even if its compiled operators do not match torch.

    A torchvision built for another variant of torch (such as CUDA instead of CPU) cannot load its compiled library, and then fails
    to register shape rules for its operators: ``operator torchvision::nms does not exist``. Datasets and networks need none of
    them, so these operators are declared without an implementation and the import is repeated; calling them still fails.
    """
    way_out = f"install the version that matches torch {torch.__version__}"
    for _ in range(len(_SCHEMAS) + 1):
        try:
            return importlib.import_module(module)
        except ImportError as error:
            raise SourceError(f"torchvision cannot be imported ({error}); install it: pip install torchvision") from error
        except RuntimeError as error:
            found = _MISSING.search(str(error))
            if found is None or found[1] not in _SCHEMAS:
                raise SourceError(f"torchvision cannot be imported ({error}); {way_out}") from error
            _declare(found[1])
    raise SourceError(f"torchvision cannot be imported; {way_out}")


def _declare(operator: str) -> None:
    # A repeated import would accept half-imported modules as complete.
    for name in [name for name in sys.modules if name == "torchvision" or name.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define(_SCHEMAS[operator])
    _declared.append(library)
