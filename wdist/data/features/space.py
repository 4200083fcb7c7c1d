"""Feature spaces: one function applied to the samples of both sides, so that distances are those between their features.

The function is fixed beforehand and sees one sample at a time, so that features of independent samples are independent, and every
bound holds in the feature space as it would hold between the samples. It bounds nothing in the space of the samples themselves.

References:
    Heusel et al. (2017), GANs trained by a two time-scale update rule converge to a local Nash equilibrium, arXiv:1706.08500, where
    distances between generators and data are taken between the features of a network.
"""

import hashlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.data.memory import fits, planned_memory
from wdist.data.sources.dtypes import type_name
from wdist.data.sources.source import EndlessSource, FiniteSource, RowIndex, Source, SourceInfo
from wdist.data.sources.stored_array import shape_text
from wdist.errors import SourceError


@dataclass(frozen=True, kw_only=True)
class Features:
    """The space that distances are taken in, where it is not that of the samples."""

    spec: str
    """As the user wrote it."""
    what: str
    """The function in words."""
    dim: int
    """Features of one sample."""
    digest: str | None
    """SHA-256 of the file of weights, or of the file that the function is written in; None where there is none."""


Ends = tuple[float, float]
"""Least and greatest value of a source, in its units."""
_PROBE = 16
_NUMBERS_AT_ONCE = 1 << 22
"""Input coordinates in one call of the function."""
_LEAST_AT_ONCE, _MOST_AT_ONCE = 16, 512
_AGREEMENT = 1e-3
"""Of features in two batches, as a share of the largest: products of other shapes round otherwise, but not by so much."""


class FeatureSpace(ABC):
    """A function from samples to features, opened once and applied to both sides.

    Arguments:
        facts: what results say of it; the number of features is found when it is applied.
        device: on which it runs.
    """

    def __init__(self, facts: Features, device: torch.device) -> None:
        self.facts = facts
        self.device = device

    @property
    def name(self) -> str:
        """As the user wrote it."""
        return self.facts.spec

    @abstractmethod
    def preparation(self, info: SourceInfo, ends: Ends | None) -> Callable[[Tensor], Tensor]:
        """What turns samples of one source into what the function takes.

        Arguments:
            info: of the source.
            ends: between which its values were seen; None where nothing was looked at.

        Returns:
            A function of a float32 tensor of shape (n, \\*event_shape), in the units of the source.

        Raises:
            SourceError: the function cannot take samples of this shape or range.
        """

    @abstractmethod
    def run(self, x: Tensor) -> Any:
        """Features of prepared samples, as the user's function returns them."""

    def of(self, source: Source, ends: Ends | None = None) -> "FeatureRows | FeatureDraws":
        """The features of a source: in memory where they fit there, else computed as rows are read or drawn.

        Arguments:
            source: finite without NaN or infinity, or endless; one that lies in this space already is handed back.
            ends: between which its values were seen.

        Raises:
            SourceError: the function cannot take the samples, or its output is no features.
        """
        if isinstance(source, FeatureRows | FeatureDraws):
            if source.space is self:
                return source
            raise SourceError(f"{source.info.address} lies in the feature space {source.space.name} already; open it anew")
        prepare = self.preparation(source.info, ends)
        return FeatureRows(self, source, prepare) if isinstance(source, FiniteSource) else FeatureDraws(self, source, prepare)

    def features(self, rows: Tensor, info: SourceInfo, prepare: Callable[[Tensor], Tensor]) -> Tensor:
        """Features of some samples, one batch after the other.

        Arguments:
            rows: shape (n, dim), in the units of the source; not empty.
            info: of the source.
            prepare: for this source.

        Returns:
            float32, shape (n, d), on the device of ``rows``.

        Raises:
            SourceError: the function fails, or its output is not one row of finite numbers a sample.
        """
        size = max(_LEAST_AT_ONCE, min(_MOST_AT_ONCE, _NUMBERS_AT_ONCE // max(1, info.dim)))
        parts = []
        for part in rows.split(size):
            batch = prepare(part.to(device=self.device, dtype=torch.float32).reshape(len(part), *info.event_shape))
            parts.append(self._checked(self._ran(batch, info), len(part), info).to(rows.device))
        return torch.cat(parts)

    def check_alone(self, rows: Tensor, info: SourceInfo, prepare: Callable[[Tensor], Tensor]) -> int:
        """How many features a sample has.

        Raises:
            SourceError: as :meth:`features`, or those of a sample depend on the batch that it stands in.
        """
        together = self.features(rows, info, prepare)
        half = max(1, len(rows) // 2)
        apart = torch.cat([self.features(part, info, prepare) for part in rows.split(half)])
        if float((together - apart).abs().max()) > _AGREEMENT * max(float(together.abs().max()), 1e-30):
            raise SourceError(
                f"the features {self.name} of one sample depend on the batch that it stands in, or on chance; "
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
            reason = str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else "no message"
            shapes = f"of shape {shape_text(tuple(batch.shape[1:]))} from {info.address}"
            raise SourceError(
                f"the features {self.name} fail on samples {shapes} ({type(error).__name__}: {reason}); {self.way_out}"
            ) from error

    way_out = "mend the function, which takes a float32 tensor of shape (n, *event_shape)"
    """Said when the function fails."""

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
            raise SourceError(f"the features {self.name} of {info.address} hold NaN or infinity; mend the function or its weights")
        return rows


def digest_of_file(path: Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def described(info: SourceInfo, space: FeatureSpace, dim: int) -> SourceInfo:
    """A source's description with features in the place of samples."""
    return replace(
        info,
        event_shape=(dim,),
        dtype="float32",
        scale=1.0,
        offset=0.0,
        units="of the features",
        bounds=None,  # a function's range follows from no type
        notes=(*info.notes, f"{dim} features of each sample of shape {shape_text(info.event_shape)}, {info.dtype}: {space.name}"),
    )


def check_one_space(a: Source, b: Source) -> None:
    """Refuses features of two sources that are not as many numbers.

    Raises:
        SourceError: says of which samples they were made.
    """
    if a.info.dim != b.info.dim:
        raise SourceError(
            f"a sample of {a.info.address} has {a.info.dim} features and one of {b.info.address} {b.info.dim}; "
            f"bring the samples of both to one shape, images with ?size=, or name another function"
        )


class FeatureRows(FiniteSource):
    """Features of a finite source; computed once where they fit into memory, else whenever rows are read."""

    def __init__(self, space: FeatureSpace, source: FiniteSource, prepare: Callable[[Tensor], Tensor]) -> None:
        self.space = space
        self._source, self._prepare = source, prepare
        dim = space.check_alone(self._samples(slice(0, min(_PROBE, source.count))), source.info, prepare)
        self.info = described(source.info, space, dim)
        # As a measure decides: a stream would come to other digits.
        self._held = self._computed() if fits(self.nbytes) and self.nbytes <= planned_memory() else None

    @property
    def nbytes(self) -> int:
        return 4 * self.count * self.info.dim

    def read(self, rows: RowIndex) -> Tensor:
        if self._held is not None:
            return self._held[rows if isinstance(rows, slice) else torch.from_numpy(np.asarray(rows, dtype=np.int64))]
        samples = self._samples(rows)
        return self._mapped(samples) if len(samples) else torch.empty(0, self.info.dim)

    def slabs(self, rows_per_slab: int) -> Iterator[tuple[int, Tensor]]:
        # Rows of features may be small where those of the samples are large.
        limit = max(1, (1 << 25) // (8 * self._source.info.dim)) if self._held is None else rows_per_slab
        return super().slabs(min(rows_per_slab, limit))

    def _computed(self) -> Tensor:
        held = torch.empty(self.count, self.info.dim)
        for start, rows in self._source.slabs(max(_MOST_AT_ONCE, (1 << 25) // (8 * self._source.info.dim))):
            held[start : start + len(rows)] = self._mapped(self._in_units(rows))
        return held

    def _samples(self, rows: RowIndex) -> Tensor:
        return self._in_units(self._source.read(rows))

    def _in_units(self, rows: Tensor) -> Tensor:
        info = self._source.info
        # Whole numbers in [0, 255] stay exact in float32; float64 is rounded only after it is scaled.
        rows = rows.to(torch.float64 if rows.dtype == torch.float64 else torch.float32)
        return rows if (info.scale, info.offset) == (1.0, 0.0) else rows * info.scale + info.offset

    def _mapped(self, samples: Tensor) -> Tensor:
        return self.space.features(samples, self._source.info, self._prepare)


class FeatureDraws(EndlessSource):
    """Features of draws, computed as they are drawn."""

    def __init__(self, space: FeatureSpace, source: EndlessSource, prepare: Callable[[Tensor], Tensor]) -> None:
        self.space = space
        self._source, self._prepare = source, prepare
        probe = source.draw(_PROBE, torch.Generator().manual_seed(0))
        self.info = described(source.info, space, space.check_alone(probe, source.info, prepare))

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        if n == 0:
            return self.draw(1, generator)[:0]
        return self.space.features(self._source.draw(n, generator), self._source.info, self._prepare)
