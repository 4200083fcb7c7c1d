"""Layers of every kind with random numbers, from vanishing to huge, for the soundness suite."""

import math

import numpy as np
import torch
from torch import Tensor

from wdist.lipschitz.activations import Mirrored
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.convolution import Convolution, Patches, PatchWise
from wdist.lipschitz.elliptic_cones import EllipticCones
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer
from wdist.lipschitz.frozen_layers import Envelope, PiecewiseLinear, activated


def random_layers(random: np.random.Generator, dim: int, *, nested: bool = False) -> list[FrozenLayer]:
    """A random chain of layers of every kind, with one output."""
    layers: list[FrozenLayer]
    match random.integers(5 if nested else 7):
        case 0:
            layers, width = [_random_cones(random, dim)], 1
        case 1:
            layers, width = _random_convolution(random, dim)
        case 2:
            count, rows = (int(each) for each in random.integers(1, 4, 2))
            matrices, points = _numbers(random, count, rows, dim), _numbers(random, count, rows)
            layers, width = [EllipticCones(matrices=matrices, points=points, offsets=_numbers(random, count))], 1
        case 5:
            chains = [random_layers(random, dim, nested=True) for _ in range(random.integers(1, 4))]
            how = str(random.choice(["maximum", "minimum"]))
            layers, width = [Envelope(how=how, branches=chains, constants=_numbers(random, len(chains)))], 1
        case _:
            layers, width = [], dim
    for _ in range(random.integers(3)):
        layers += [Affine(weight=_numbers(random, 4, width), bias=_numbers(random, 4)), activation := _activation(random)]
        width = 2 if activation.kind == "maxout:2" else 4
    if width != 1 or not layers or random.random() < 0.5:
        layers.append(Affine(weight=_numbers(random, 1, width), bias=_numbers(random, 1)))
    if random.random() < 0.2:
        knots = torch.from_numpy(np.sort(random.normal(size=random.integers(1, 6))))
        layers.append(PiecewiseLinear(knots=knots, slopes=_numbers(random, len(knots) + 1)))
    return layers


def _numbers(random: np.random.Generator, *shape: int) -> Tensor:
    """Normal numbers, scaled by a random power of ten that is often 1."""
    exponent = random.choice([0, 0, 0, -1, 1, -8, 8, -160, 160, -200, 200, -300, 300])
    return torch.from_numpy(random.normal(size=shape) * 10.0**exponent)


def _random_cones(random: np.random.Generator, dim: int) -> Cones:
    count = int(random.integers(1, 6))
    centres = torch.from_numpy(random.normal(size=(count, dim)))
    return Cones(centres=centres, offsets=_numbers(random, count), p=float(random.choice([1.0, 2.0, math.inf])))


def _random_convolution(random: np.random.Generator, dim: int) -> tuple[list[FrozenLayer], int]:
    """A convolution with four channels, then an activation; and the number of outputs."""
    kernel = int(random.integers(1, dim + 1))
    stride, border = int(random.integers(1, kernel + 1)), int(random.integers(kernel))
    patches = Patches.parse(f"1x{dim}x1:chw:1x{kernel}:1x{stride}:0x{border}")
    convolution = Convolution(patches=patches, weight=_numbers(random, 4, kernel), bias=_numbers(random, 4))
    activation = _activation(random)
    outputs = (2 if activation.kind == "maxout:2" else 4) * patches.count
    return [convolution, PatchWise(count=patches.count, layer=activation)], outputs


def _activation(random: np.random.Generator) -> FrozenLayer:
    """A random activation of four units; maxout has two outputs, all others four."""
    names = ("relu", "abs", "leaky-relu:0.1", "tanh", "sigmoid", "maxmin", "group-sort:4", "full-sort", "maxout:2", "identity")
    chosen = random.integers(len(names) + 1)
    if chosen < len(names):
        return activated(names[chosen])
    angles = torch.from_numpy(random.uniform(0, 2 * math.pi, 2))
    return Mirrored(normal=torch.stack([angles.cos(), angles.sin()], 1) * float(random.uniform(0.6, 1.9)))
