"""Feature spaces: one function maps the samples of both sides, and distances are measured between their features.

The function is fixed beforehand and maps each sample on its own. Features of independent samples are therefore independent, and all
bounds are valid in the feature space. They bound nothing in the space of the samples themselves.

References:
    Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash equilibrium, arXiv:1706.08500,
    where distances between generators and data are taken between the features of a network.
"""

import hashlib
import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wdist.data.features.cache import FeatureCache
from wdist.data.memory import fits, planned_memory
from wdist.data.rows import in_units
from wdist.data.sources.address import parse_address
from wdist.data.sources.array_files import open_npy
from wdist.data.sources.arrays import ArraySource, type_name
from wdist.data.sources.source import EndlessSource, FiniteSource, RowIndex, Source, SourceInfo, shape_text
from wdist.errors import SourceError, first_line

Ends = tuple[float, float]
"""Smallest and largest value of a source, in its units."""
_PROBE = 16
_NUMBERS_AT_ONCE = 1 << 22
"""Input coordinates per call of the function."""
_BYTES_AT_ONCE = 1 << 25
_LEAST_AT_ONCE, _MOST_AT_ONCE = 16, 512
_AGREEMENT = 1e-3
"""Tolerance for features of the same sample in two batches, relative to the largest feature; rounding makes smaller differences."""


@dataclass(frozen=True, kw_only=True)
class Features:
    """The feature space of a result."""

    spec: str
    """Specification as the user wrote it."""
    what: str
    """Description of the function."""
    dim: int
    """Number of features per sample."""
    digest: str | None
    """SHA-256 of the file of weights, or of the file that defines the function; None without such a file."""


class FeatureSpace(ABC):
    """A function from samples to features, opened once and applied to both sides; ``facts`` do not state the number of features."""

    way_out = "fix the function, which takes a float32 tensor of shape (n, *event_shape)"
    """Advice at the end of the error if the function fails."""

    def __init__(self, facts: Features, device: torch.device) -> None:
        self.facts = facts
        self.device = device
        self.cache: FeatureCache | None = None

    @property
    def name(self) -> str:
        return self.facts.spec

    def __str__(self) -> str:
        """A text that is the same in every process, so that shards of one run can check that they share the space."""
        return f"{self.name}, with digest {self.facts.digest}"

    @abstractmethod
    def preparation(self, info: SourceInfo, ends: Ends | None) -> Callable[[Tensor], Tensor]:
        """A function that turns samples of one source into input for :meth:`run`.

        It takes float32 of shape (n, \\*event_shape), in the units of the source. ``ends`` is the observed range of its values.

        Raises:
            SourceError: the space does not accept samples of this shape or range.
        """

    @abstractmethod
    def run(self, x: Tensor) -> Any:
        """Features of prepared samples, as the user's function returns them."""

    def of(
        self, source: Source, ends: Ends | None = None, *, digest: str | None = None, ahead: bool = True
    ) -> "FeatureRows | FeatureDraws":
        """The features of a source; a source that is already in this space is returned as it is.

        Arguments:
            source: holds the samples.
            ends: smallest and largest observed value.
            digest: digest of all stored values, by which kept features are found.
            ahead: whether to compute the features of all stored samples at once, if they fit into memory.
        """
        if isinstance(source, FeatureRows | FeatureDraws):
            if source.space is self:
                return source
            raise SourceError(f"{source.info.address} is already in the feature space {source.space.name}; open it again")
        prepare = self.preparation(source.info, ends)
        if isinstance(source, FiniteSource):
            return FeatureRows(self, source, prepare, digest=digest, ahead=ahead)
        return FeatureDraws(self, source, prepare)

    def features(self, rows: Tensor, info: SourceInfo, prepare: Callable[[Tensor], Tensor]) -> Tensor:
        """Features, float32, shape (n, d), of samples in the units of the source, shape (n, dim), on their device."""
        size = max(_LEAST_AT_ONCE, min(_MOST_AT_ONCE, _NUMBERS_AT_ONCE // max(1, info.dim)))
        parts = []
        for part in rows.split(size):
            batch = prepare(part.to(device=self.device, dtype=torch.float32).reshape(len(part), *info.event_shape))
            parts.append(self._checked(self._ran(batch, info), len(part), info).to(rows.device))
        return torch.cat(parts)

    def check_alone(self, rows: Tensor, info: SourceInfo, prepare: Callable[[Tensor], Tensor]) -> int:
        """Checks that the features of a sample do not depend on its batch, and returns their number."""
        together = self.features(rows, info, prepare)
        half = max(1, len(rows) // 2)
        apart = torch.cat([self.features(part, info, prepare) for part in rows.split(half)])
        if float((together - apart).abs().max()) > _AGREEMENT * max(float(together.abs().max()), 1e-30):
            raise SourceError(
                f"the features {self.name} of a sample depend on the other samples in its batch, or on chance; "
                f"put the network into evaluation mode with .eval()"
            )
        return together.shape[1]

    @torch.no_grad()
    def _ran(self, batch: Tensor, info: SourceInfo) -> Any:
        try:
            return self.run(batch)
        except SourceError:
            raise
        except Exception as error:  # the user's function
            reason = f"{type(error).__name__}: {first_line(error) if str(error).strip() else 'no message'}"
            shapes = f"samples of shape {shape_text(tuple(batch.shape[1:]))} from {info.address}"
            raise SourceError(f"the features {self.name} fail on {shapes} ({reason}); {self.way_out}") from error

    def _checked(self, output: Any, count: int, info: SourceInfo) -> Tensor:
        if not isinstance(output, Tensor):
            raise SourceError(f"the features {self.name} are a {type(output).__name__}; return a tensor of shape (n, d)")
        if output.ndim < 1 or len(output) != count or math.prod(output.shape) == 0:
            raise SourceError(
                f"the features {self.name} turned {count} samples into a tensor of shape {shape_text(tuple(output.shape))}; "
                f"return one row of features for each sample"
            )
        if output.is_complex():
            raise SourceError(f"the features {self.name} are complex numbers ({type_name(output.dtype)}); return real ones")
        rows = output.reshape(count, -1).to(torch.float32)
        if not bool(torch.isfinite(rows).all()):
            raise SourceError(f"the features {self.name} of {info.address} hold NaN or infinity; fix the function or its weights")
        return rows


class FunctionSpace(FeatureSpace):
    """A function of float32 samples in the units of their source, shape (n, \\*event_shape), whose outputs are flattened.

    A module is moved to the device and put into evaluation mode.
    """

    def __init__(self, function: Callable[[Tensor], Any], *, name: str, device: torch.device) -> None:
        super().__init__(Features(spec=name, what=f"the function {name}", dim=0, digest=_digest(function)), device)
        self._function = function.eval().to(device) if isinstance(function, nn.Module) else function

    def preparation(self, info: SourceInfo, ends: Ends | None) -> Callable[[Tensor], Tensor]:
        return lambda x: x

    def run(self, x: Tensor) -> Any:
        return self._function(x)


def _digest(function: Any) -> str | None:
    """Digest of the file that defines a function or an object's class; None without such a file."""
    try:
        file = inspect.getsourcefile(function if inspect.isroutine(function) else type(function))
    except TypeError:
        return None
    return digest_of_file(Path(file)) if file is not None and Path(file).is_file() else None


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_one_space(a: Source, b: Source) -> None:
    """Refuses two sources with different numbers of features."""
    if a.info.dim != b.info.dim:
        raise SourceError(
            f"a sample of {a.info.address} has {a.info.dim} features and one of {b.info.address} {b.info.dim}; "
            f"give samples of the same shape (resize images with ?size=), or name another function"
        )


def _described(info: SourceInfo, space: FeatureSpace, dim: int) -> SourceInfo:
    return replace(
        info,
        event_shape=(dim,),
        dtype="float32",
        scale=1.0,
        offset=0.0,
        units="of the features",
        bounds=None,  # no type bounds the range of a function
        columns=None,
        notes=(*info.notes, f"{dim} features of each sample of shape {shape_text(info.event_shape)}, {info.dtype}: {space.name}"),
    )


class FeatureRows(FiniteSource):
    """Features of a finite source, computed once if they fit into memory or are kept on disk, else whenever rows are read."""

    itemsize = 4

    def __init__(
        self,
        space: FeatureSpace,
        source: FiniteSource,
        prepare: Callable[[Tensor], Tensor],
        *,
        digest: str | None,
        ahead: bool,
    ) -> None:
        self.space = space
        self._source, self._prepare, self.rows_together = source, prepare, source.rows_together
        dim = space.check_alone(self._samples(slice(0, min(_PROBE, source.count))), source.info, prepare)
        self.info = _described(source.info, space, dim)
        self._kept = None if space.cache is None or digest is None else self._on_disk(space.cache, digest)
        # The same rule as for a measure, because a stream gives other digits than a set in memory.
        self._held = self._computed() if ahead and fits(self.nbytes) and self.nbytes <= planned_memory() else None

    def read(self, rows: RowIndex) -> Tensor:
        if self._held is not None:
            return self._held[rows if isinstance(rows, slice) else torch.from_numpy(np.asarray(rows, dtype=np.int64))]
        if self._kept is not None:
            return self._kept.read(rows)
        numbers = np.arange(self.count)[rows]
        features = torch.empty(len(numbers), self.info.dim)
        for start in range(0, len(numbers), self._at_once):
            part = rows if isinstance(rows, slice) and len(numbers) <= self._at_once else numbers[start : start + self._at_once]
            features[start : start + self._at_once] = self._mapped(self._samples(part))
        return features

    @property
    def _at_once(self) -> int:
        """Number of samples read at a time, because samples may be much larger than their features."""
        return max(_MOST_AT_ONCE, _BYTES_AT_ONCE // (8 * self._source.info.dim))

    def _computed(self) -> Tensor:
        if self._kept is not None:
            return self._kept.read(slice(0, self.count))
        held, start = torch.empty(self.count, self.info.dim), 0
        for part in self._parts():
            held[start : start + len(part)] = part
            start += len(part)
        return held

    def _parts(self) -> Iterator[Tensor]:
        for _, rows in self._source.slabs(self._at_once):
            yield self._mapped(self._in_units(rows))

    def _on_disk(self, cache: FeatureCache, digest: str) -> ArraySource | None:
        """The features in a file of the cache, computed if they are not there; None, with a note, if they cannot be kept."""
        info, facts = self._source.info, self.space.facts
        samples = (digest, info.count, info.dropped, info.event_shape, info.dtype, info.scale, info.offset, info.notes)
        network = (facts.spec, facts.what, facts.digest, self.space.device.type)
        shape = (self.count, self.info.dim)
        file = cache.file({"samples": samples, "network": network, "shape": shape})
        problem = None if cache.holds(file, shape) else cache.keep(file, shape, self._parts())
        if problem is not None:
            self.info = replace(self.info, notes=(*self.info.notes, problem))
            return None
        return ArraySource(open_npy(parse_address(file)), self.info)

    def _samples(self, rows: RowIndex) -> Tensor:
        return self._in_units(self._source.read(rows))

    def _in_units(self, rows: Tensor) -> Tensor:
        # Integers in [0, 255] are exact in float32; other values are scaled in float64 and rounded afterwards.
        return in_units(rows, self._source.info, torch.float64 if rows.dtype == torch.float64 else torch.float32)

    def _mapped(self, samples: Tensor) -> Tensor:
        return self.space.features(samples, self._source.info, self._prepare)


class FeatureDraws(EndlessSource):
    """Features of draws, computed as they are drawn."""

    def __init__(self, space: FeatureSpace, source: EndlessSource, prepare: Callable[[Tensor], Tensor]) -> None:
        self.space = space
        self._source, self._prepare = source, prepare
        probe = source.draw(_PROBE, torch.Generator().manual_seed(0))
        self.info = _described(source.info, space, space.check_alone(probe, source.info, prepare))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        if n == 0:
            return self.draw(1, generator)[:0]
        return self.space.features(self._source.draw(n, generator), self._source.info, self._prepare)
