"""Sets of images by name: those of torchvision, or those that the user names in their place."""

from collections.abc import Callable, Container, Iterable
from typing import TypeVar

from wdist.errors import SourceError
from wdist.studies.study import Conditions

TITLES = {"mnist": "MNIST", "cifar10": "CIFAR10", "celeba": "CelebA", "digits": "digits"}
_ADDRESSES = {"mnist": "torchvision:MNIST?split=train&root={root}", "cifar10": "torchvision:CIFAR10?split=train&root={root}"}
Opened = TypeVar("Opened")


def address_of(name: str, conditions: Conditions) -> str:
    """The address that the user gives, or that of the training images of torchvision."""
    return conditions.sources.get(name) or _ADDRESSES[name].format(root=conditions.data or "data")


def available(names: Iterable[str], open: Callable[[str], Opened], *, required: Container[str]) -> tuple[list[Opened], list[str]]:
    """Opens the sets that are available; returns them, and a sentence for each that is left out.

    Raises:
        SourceError: one that is ``required`` is not available, or none is.
    """
    opened, left_out = [], []
    for name in names:
        try:
            opened.append(open(name))
        except SourceError as error:
            if name in required:
                raise
            left_out.append(f"{TITLES[name]} was left out: {error}.")
    if not opened:
        raise SourceError(f"{left_out[0].removesuffix('.')} (name the folder of the data with --root DIR or --data mnist=ADDRESS)")
    return opened, left_out
