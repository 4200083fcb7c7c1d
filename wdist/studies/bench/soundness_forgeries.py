"""Forged proofs: files of :mod:`wdist.estimation.proof` with a few changes; no false claim may be confirmed.

To add a forgery, write a function that changes the statement or the tensors in place, and add it to the table.
"""

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

Tensors = dict[str, Tensor]
Forgery = Callable[[np.random.Generator, dict[str, Any], Tensors], None]
_FACTORS = (0.0, -1.0, 0.5, 1 - 1e-9, 1 + 1e-12, 1 + 1e-6, 2.0, 1e-160, 1e160, 1e-300, 1e300)


def forged(proof: bytes, random: np.random.Generator) -> bytes:
    """A copy of the proof of one result with one to three forgeries; if it has a divergence, this may be forged, too."""
    tensors = {name: tensor.clone() for name, tensor in sorted(load(proof).items())}
    length = int.from_bytes(proof[:8], "little")
    metadata = json.loads(proof[8 : 8 + length])["__metadata__"]
    statements = json.loads(metadata["statements"])
    (statement,) = statements.values()
    forgeries = [(each, statement) for each in FORGERIES]
    if statement["divergence"] is not None:
        forgeries += [(each, statement["divergence"]) for each in OF_DIVERGENCES]
    for _ in range(random.integers(1, 4)):
        forge, stated = forgeries[random.integers(len(forgeries))]
        forge(random, stated, tensors)
    return save(tensors, metadata={**metadata, "statements": json.dumps(statements)})


def _factor(random: np.random.Generator) -> float:
    return float(random.choice(_FACTORS))


def _claim(random: np.random.Generator, claims: dict[str, Any], tensors: Tensors) -> None:
    """Multiplies one claimed end."""
    ends = claims[str(random.choice(["samples", "population"]))]
    end = str(random.choice(["lower", "upper"]))
    if ends[end] is not None:
        value = ends[end] * _factor(random)
        ends[end] = value if math.isfinite(value) else 1e308


def _claims_of_critics(random: np.random.Generator, statement: dict[str, Any], tensors: Tensors) -> None:
    for fold in (fold for critic in statement["critics"] for fold in critic["folds"]):
        fold["samples_lower"] *= 1 + 1e-6
    statement["samples"]["lower"] *= 1 + 1e-6


def _critic(random: np.random.Generator, statement: dict[str, Any], tensors: Tensors) -> None:
    """Changes the description of one of the critics."""
    folds = [fold for critic in statement["critics"] for fold in critic["folds"]]
    _description(random, folds[random.integers(len(folds))], tensors)


def _description(random: np.random.Generator, critic: dict[str, Any], tensors: Tensors) -> None:
    """Changes the spread, the constant or a layer of one critic."""
    description = json.loads(critic["critic"])
    match random.integers(3):
        case 0:
            description["spread"] = abs(description["spread"] * _factor(random))
        case 1:
            description["lipschitz"] = 10.0 ** float(random.integers(-7, 8))
        case _:
            place = int(random.integers(len(description["layers"]) + 1))
            description["layers"].insert(place, str(random.choice(["abs", "relu", "tanh", "leaky-relu:0.5", "maxmin"])))
    critic["critic"] = json.dumps(description)


def _numbers(random: np.random.Generator, statement: dict[str, Any], tensors: Tensors) -> None:
    """Multiplies all numbers of one tensor, or one of its numbers."""
    name = str(random.choice(list(tensors)))
    values = tensors[name]
    if not values.is_floating_point() or not values.numel():
        return
    if random.random() < 0.5:
        values *= _factor(random)
    else:
        values.view(-1)[random.integers(values.numel())] *= _factor(random)


def _duals(random: np.random.Generator, statement: dict[str, Any], tensors: Tensors) -> None:
    """Multiplies or shifts the dual variables of both sides, by up to 1e300, and drops the upper end."""
    factor = 10.0 ** float(random.uniform(0, 300)) * float(random.choice([-1, 1]))
    for name in [name for name in tensors if "dual" in name]:
        tensors[name] = tensors[name] * factor if random.random() < 0.8 else tensors[name] + factor
    statement["samples"]["upper"] = None


def _plan(random: np.random.Generator, statement: dict[str, Any], tensors: Tensors) -> None:
    """Leaves out, repeats or reorders entries of a plan."""
    plans = sorted({name.rpartition(".")[0] for name in tensors if name.endswith(".mass")})
    if not plans:
        return
    plan = str(random.choice(plans))
    count = len(tensors[f"{plan}.mass"])
    match random.integers(3):
        case 0:
            kept = torch.from_numpy(np.sort(random.permutation(count)[: max(1, count // 2)]))
            for part in ("rows", "columns", "mass"):
                tensors[f"{plan}.{part}"] = tensors[f"{plan}.{part}"][kept].clone()
        case 1:
            for part in ("rows", "columns", "mass"):
                tensors[f"{plan}.{part}"] = tensors[f"{plan}.{part}"].repeat(2)
        case _:
            part = str(random.choice(["rows", "columns", "mass"]))
            order = torch.from_numpy(random.permutation(count))
            tensors[f"{plan}.{part}"] = tensors[f"{plan}.{part}"][order].clone()


def _held_out(random: np.random.Generator, statement: dict[str, Any], tensors: Tensors) -> None:
    """Changes a held-out row, or the seed that chooses these rows."""
    names = [name for name in tensors if "held-out" in name]
    if names and random.random() < 0.5:
        rows = tensors[names[0]]
        rows[random.integers(len(rows))] = int(random.integers(20))
    else:
        statement["seed"] = int(random.integers(1000))


def _options(random: np.random.Generator, statement: dict[str, Any], tensors: Tensors) -> None:
    """Changes the metric, the method, the confidence or the number of bounds."""
    match random.integers(4):
        case 0:
            statement["metric"] = str(random.choice(["l1", "l2", "linf"]))
        case 1:
            statement["method"] = str(random.choice(["welch", "betting", "empirical-bernstein"]))
        case 2:
            statement["confidence"] = float(random.choice([0.5, 0.9, 0.999999]))
        case _:
            statement["jointly_with"] = int(random.integers(1, 5))


FORGERIES: tuple[Forgery, ...] = (_claim, _claims_of_critics, _critic, _numbers, _duals, _plan, _held_out, _options)


def _potential(random: np.random.Generator, divergence: dict[str, Any], tensors: Tensors) -> None:
    """Changes how the critic is scaled or clipped, or lambda."""
    name = str(random.choice(["factor", "low", "high", "shift", "lambda"]))
    value = divergence[name] * _factor(random)
    if math.isfinite(value):
        divergence[name] = value


OF_DIVERGENCES: tuple[Forgery, ...] = (_claim, _description, _potential)
"""Forgeries of the statement about a divergence."""
