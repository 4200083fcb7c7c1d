"""Frozen classifiers: plain float64 layers with one output per class; the same object is certified, attacked and saved."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from pathlib import Path
from typing import TypeAlias

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor

from wdist.critics.frozen import restored_layers, stored_layers, through
from wdist.errors import SourceError, UsageError
from wdist.files import FileVersion, atomic_write, read_safetensors
from wdist.lipschitz.frozen_layer import FrozenLayer, LayerBound
from wdist.lipschitz.linalg.rounding import product_above

FORMAT = "wdist-classifier-1"
_SLAB = 1000
"""Samples evaluated at a time."""
Logits: TypeAlias = Callable[[Tensor], Tensor]
"""Maps samples, shape (n, dim), to logits, shape (n, classes), differentiably."""


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Logits of a classifier, with a bound for their rounding errors."""

    logits: Tensor
    """float64, shape (n, classes), on the CPU."""
    rounding: float
    """Largest error of a difference of two logits of one sample."""


class FrozenClassifier:
    """x -> logits, evaluated in float64; the prediction is the class with the largest logit.

    Arguments:
        layers: layers in order of application; the last one has an output for each of two or more classes.
        dim: number of coordinates of a sample.

    Raises:
        ValueError: the sizes of layers do not match, or there are fewer than two classes.
    """

    def __init__(self, layers: Sequence[FrozenLayer], *, dim: int) -> None:
        self.layers, self.dim = tuple(layers), dim
        self.classes = reduce(lambda units, layer: layer.check(units), self.layers, dim)
        if self.classes < 2:
            raise ValueError(f"it has {self.classes} outputs, but a classifier has at least two")

    @cached_property
    def bounds(self) -> tuple[LayerBound, ...]:
        """Euclidean Lipschitz bound of each layer."""
        return tuple(layer.lipschitz() for layer in self.layers)

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(tensor.numel() for tensor in self.tensors().values())

    def evaluate(self, x: Tensor) -> Evaluated:
        """Logits at x, shape (n, dim), with a bound for the rounding of their differences; x is taken as exact."""
        parts = [through(self.layers, self.bounds, part.cpu().double().contiguous(), 0.0) for part in x.split(_SLAB)]
        # |e_t - e_i| <= sqrt 2 ||e||; the difference is at most twice as large as the larger logit, and rounds once.
        worst = max(error + 2 * float(logits.abs().max()) * 2.0**-52 for logits, error in parts)
        rounding = product_above(worst, math.nextafter(math.sqrt(2), 2))
        return Evaluated(logits=torch.cat([logits for logits, _ in parts]), rounding=rounding)

    def layers_on(self, device: torch.device, dtype: torch.dtype = torch.float32) -> list[FrozenLayer]:
        """The layers on a device and in a precision, whose :meth:`FrozenLayer.forward` can then be called."""
        return [layer.on(device, dtype) for layer in self.layers]

    def function(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Logits:
        """The classifier as a differentiable function, on a device and in a precision."""
        layers = self.layers_on(device, dtype)
        return lambda x: reduce(lambda h, layer: layer.forward(h), layers, x)

    def tensors(self) -> dict[str, Tensor]:
        """All numbers by name, as they are saved."""
        return stored_layers(self.layers)

    def save(self, path: Path) -> None:
        """Writes the classifier to a ``.safetensors`` file: its numbers, and its structure as metadata; OutputError if it fails."""
        description = json.dumps({"layers": [layer.kind for layer in self.layers], "dim": self.dim})
        atomic_write(path, save(self.tensors(), metadata={"format": FORMAT, "classifier": description}))


def load_classifier(path: Path) -> FrozenClassifier:
    """Reads a classifier that :meth:`FrozenClassifier.save` wrote; nothing is executed.

    Raises:
        SourceError: the file is not such a classifier, or is damaged.
    """
    try:
        with FileVersion.of(path).reading():
            metadata, tensors = read_safetensors(path)
        if metadata.get("format") != FORMAT:
            raise SourceError(f"{path} is not a classifier that wdist saved; give its network with ?factory=module:Class")
        return _restored(json.loads(metadata["classifier"]), tensors)
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, UsageError) as error:
        raise SourceError(f"{path} is not a readable classifier ({error}); save it again") from error


def _restored(facts: Mapping[str, object], tensors: Mapping[str, Tensor]) -> FrozenClassifier:
    kinds, dim = facts["layers"], facts["dim"]
    if not isinstance(kinds, list) or not isinstance(dim, int) or isinstance(dim, bool) or dim < 1:
        raise ValueError("its structure is not one")
    classifier = FrozenClassifier(restored_layers(kinds, tensors), dim=dim)
    if idle := sorted(tensors.keys() - classifier.tensors().keys()):
        raise ValueError(f"nothing uses its tensor {idle[0]}")
    return classifier
