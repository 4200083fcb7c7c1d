"""Small trials for tests: a pair of sample sets, a few steps of training, and what came of it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import ot
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from wdist.critics.frozen import FrozenCritic
from wdist.critics.networks import StackedCritic
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.pairing import Pair, open_pair
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource, RowIndex
from wdist.estimation.evaluation import ErrorBudget, evaluate_critic
from wdist.estimation.result import CriticResult
from wdist.files import read_safetensors
from wdist.ground_metric import L2, GroundMetric
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.kind import DataShape, TrainingJob
from wdist.training.networks import NetworkKind
from wdist.training.observer import Event, Silent

CPU = torch.device("cpu")
ERRORS = ErrorBudget(confidence=0.95, method="welch")
TRAINED = [name for name, kind in CATALOGUE.items() if isinstance(kind, NetworkKind)]
"""Networks, which gradients train."""
SMALL = CriticSettings(width=16, depth=3, group_size=4, batch_size=32)


class CountedRows(FiniteSource):
    """Rows of another source, each of which counts how often it is read."""

    def __init__(self, values: Any, address: str = "<counted>") -> None:
        self.source = open_source(values)
        self.info, self.itemsize, self.rows_together = self.source.info, self.source.itemsize, self.source.rows_together
        self.info = replace(self.info, address=address)
        self.times, self.readings = np.zeros(self.count, dtype=np.int64), 0

    def read(self, rows: RowIndex) -> torch.Tensor:
        self.times[rows] += 1
        self.readings += 1
        return self.source.read(rows)


class Listener:
    """Keeps every event, and may press Ctrl-C once: at the first one that ``stop`` accepts."""

    def __init__(self, stop: Callable[[Event], bool] | None = None) -> None:
        self.events: list[Event] = []
        self.stop = stop

    def notify(self, event: Event) -> None:
        self.events.append(event)
        if self.stop is not None and self.stop(event):
            self.stop = None
            raise KeyboardInterrupt

    def of(self, kind: type) -> list[Any]:
        """The events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]


def untimed(document: Any) -> Any:
    """A document without times, and without the environment, which names the processes."""
    if isinstance(document, dict):
        return {name: untimed(part) for name, part in document.items() if "seconds" not in name and name != "environment"}
    return [untimed(part) for part in document] if isinstance(document, list) else document


def digest(critic: FrozenCritic) -> str:
    """SHA-256 of everything that the values of a critic depend on."""
    found = hashlib.sha256(critic.description().encode())
    for name, tensor in sorted(critic.tensors().items()):
        found.update(name.encode())
        found.update(tensor.numpy().tobytes())
    return found.hexdigest()


def write_critic(path: Path, critic: FrozenCritic) -> None:
    """Writes a critic into a file of its own."""
    save_file(critic.tensors(), path, {"critic": critic.description()})


def read_critic(path: Path) -> FrozenCritic:
    """Reads it again; ValueError if it is damaged."""
    try:
        metadata, tensors = read_safetensors(path)
        return FrozenCritic.restored(metadata.get("critic", ""), tensors)
    except SafetensorError as error:
        raise ValueError(str(error)) from error


def pair_of(a: Any, b: Any, *, seed: int = 0) -> Pair:
    """The two sides, opened and split."""
    return open_pair(a, b, access=Access(), seed=seed, device=CPU)


def trial(
    a: Any,
    b: Any,
    *,
    name: str = "groupsort-bjorck",
    steps: int = 10,
    seed: int = 0,
    settings: CriticSettings = SMALL,
    errors: ErrorBudget = ERRORS,
    metric: GroundMetric = L2,
) -> CriticResult:
    """Trains and evaluates one critic of the catalogue."""
    return judged(pair_of(a, b, seed=seed), name=name, steps=steps, seed=seed, settings=settings, errors=errors, metric=metric)


def judged(
    pair: Pair,
    *,
    name: str = "groupsort-bjorck",
    steps: int = 10,
    seed: int = 0,
    settings: CriticSettings = SMALL,
    errors: ErrorBudget = ERRORS,
    observer: Any = None,
    metric: GroundMetric = L2,
) -> CriticResult:
    """As :func:`trial`, on a pair that is open already."""
    try:
        spec = CATALOGUE[name].resolve(settings, DataShape.of(pair), metric)
        job = TrainingJob(pair=pair, seed=seed, device=CPU, observer=observer or Silent())
        trained = spec.kind.fit(spec, job, None if spec.budget is None else Budget(steps=steps))
        return evaluate_critic(trained, pair, errors, metric=metric, seed=seed)
    finally:
        pair.close()


def shape_of(
    dim: int, *, event_shape: tuple[int, ...] | None = None, samples: int | None = None, directions: float = 3
) -> DataShape:
    """A made-up description of data, from which settings follow."""
    return DataShape(event_shape=event_shape or (dim,), dim=dim, participation=min(directions, dim), samples=samples)


def network(
    name: str,
    dim: int,
    settings: CriticSettings,
    generator: torch.Generator,
    *,
    event_shape: tuple[int, ...] | None = None,
    metric: GroundMetric = L2,
) -> StackedCritic:
    """A network of the catalogue with fresh weights."""
    shape, kind = shape_of(dim, event_shape=event_shape), CATALOGUE[name]
    assert isinstance(kind, NetworkKind)
    spec = kind.resolve(settings, shape, metric)
    assert isinstance(spec.kind, NetworkKind)
    return spec.kind.build(spec, shape, generator)


def two_moons(n: int, m: int, dim: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two sets that no linear critic tells apart well: a normal one and a bimodal one."""
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(n, dim)), random.normal(size=(m, dim))
    b[:, 0] += 2 * np.sign(b[:, 0])
    return a, b


def exact_w1(a: np.ndarray, b: np.ndarray, p: float = 2) -> float:
    """W1 of two sets in the p-norm by POT's network simplex, from distances that are computed by differences."""
    a, b = (np.asarray(side, dtype=np.float64).reshape(len(side), -1) for side in (a, b))
    scale = max(np.abs(a - a[0]).max(), np.abs(b - a[0]).max(), np.finfo(float).tiny)
    distances = np.linalg.norm((a[:, None] - b[None]) / scale, ord=p, axis=2)
    return float(ot.emd2(np.full(len(a), 1 / len(a)), np.full(len(b), 1 / len(b)), distances, numItermax=10_000_000)) * scale
