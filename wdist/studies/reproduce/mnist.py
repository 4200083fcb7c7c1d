"""MNIST for the classifiers of the paper."""

from collections.abc import Callable

import torch
from torch import Tensor

from wdist.data.sources.torchvision_dataset import import_torchvision
from wdist.errors import SourceError
from wdist.robustness.training import Labelled
from wdist.studies.study import Conditions

PIXELS, CLASSES = 784, 10
_SLAB = 1000  # images per classified batch


def digits(conditions: Conditions, *, train: bool) -> Labelled:
    """MNIST from torchvision: float32 images in [0, 1], shape (n, 784), and labels."""
    folder = conditions.data or "data"
    try:
        dataset = import_torchvision().MNIST(str(folder), train=train, download=conditions.download)
    except (RuntimeError, OSError) as error:
        raise SourceError(
            f"torchvision finds no complete MNIST in {folder}; name its folder with --root DIR, or fetch it with --download"
        ) from error
    return Labelled(x=dataset.data.flatten(1).float() / 255, labels=dataset.targets)


def some(data: Labelled, count: int) -> Labelled:
    """The first ``count`` samples."""
    return Labelled(x=data.x[:count], labels=data.labels[:count])


@torch.no_grad()
def error_of(function: Callable[[Tensor], Tensor], data: Labelled, device: torch.device) -> float:
    """The share of samples that a function from images to logits misclassifies, in float32 on ``device``."""
    predicted = torch.cat([function(part.to(device)).argmax(1).cpu() for part in data.x.split(_SLAB)])
    return float((predicted != data.labels).double().mean())
