"""The critic of a result as a function of samples: potentials, scores, gradients, and the samples that differ most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from wdist.arguments import accepted, shown
from wdist.critics.potential import PotentialModule
from wdist.data.rows import ResidentRows, in_units
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource, SourceInfo, shape_text
from wdist.data.tables.encoding import is_plain
from wdist.data.tables.joint import Encoding, encoded_as
from wdist.errors import SourceError, UsageError, first_line
from wdist.ground_metric import GroundMetric

if TYPE_CHECKING:
    from wdist.critics.frozen import FrozenCritic

MOST_WITNESSES = 64
_WITNESS_NUMBERS = 1 << 20
"""Coordinates of the witnesses kept for one side, 8 MB; at least one sample is kept."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Extremes:
    """The samples of one side that a critic tells most clearly from the other side, the clearest first."""

    samples: Tensor
    """float64, shape (k, \\*event shape), in the units of the source."""
    rows: np.ndarray
    """Their positions among the samples of the side, int64, shape (k,)."""
    scores: np.ndarray
    """float64, shape (k,)."""

    def first(self, k: int) -> Extremes:
        """Returns the k clearest."""
        return Extremes(samples=self.samples[:k], rows=self.rows[:k], scores=self.scores[:k])


@dataclass(frozen=True, kw_only=True, eq=False)
class CriticWitnesses:
    """The samples that show the difference best: those of A that B lacks most, and those of B that A lacks most."""

    a: Extremes
    """Samples of A with the highest scores."""
    b: Extremes
    """Samples of B with the lowest scores."""


class Potential:
    """The potential f of a critic: calling it evaluates f at samples in the shape and the units of the source.

    f is K-Lipschitz for the certificate K, and (mean over A - mean over B) / K is a lower bound for W1 between the samples, up to
    rounding. Arrays and data frames give arrays, tensors give tensors on their device that gradients flow through.

    Arguments:
        frozen: the critic.
        lipschitz_bound: K.
        sides: the sources of A and B.
        mean_b: mean potential of the samples of B.
        extremes: the most extreme samples of A and of B.
        metric: ground metric, which the encoding of tables depends on.
    """

    def __init__(
        self,
        frozen: FrozenCritic,
        *,
        lipschitz_bound: float,
        sides: tuple[SourceInfo, SourceInfo],
        mean_b: float,
        extremes: tuple[Extremes, Extremes],
        metric: GroundMetric,
    ) -> None:
        self._metric = metric
        self._frozen, self._sides, self._extremes = frozen, sides, extremes
        self._lipschitz_bound, self._mean_b = lipschitz_bound, mean_b

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return self._sides[0].event_shape

    def __repr__(self) -> str:
        return f"<Potential: a function of samples of shape {shape_text(self.event_shape)}>"

    def __call__(self, x: Any) -> Any:
        """f at samples of shape (n, \\*event shape): float64, shape (n,).

        Arguments:
            x: a tensor, an array, or a data frame with the columns of the source, in its units. Integers of the type that a side is
                stored in (such as image bytes) are converted as that side was.

        Raises:
            WdistError: ``x`` does not hold samples of that shape.
        """
        values = self._samples(x)
        if isinstance(x, Tensor):
            return self._of_tensor(values)
        return self._frozen.evaluate(values).values

    def score(self, x: Any) -> Any:
        """f minus its mean over B, divided by K: its average is 0 over B, and the lower bound for the samples over A.

        Takes the same argument as a call, and raises the same errors.
        """
        return (self(x) - self._mean_b) / self._lipschitz_bound

    def module(self) -> PotentialModule:
        """f as a torch module with float64 buffers, to be moved, exported or used in a loss; see :class:`PotentialModule`."""
        return PotentialModule(self._frozen, self.event_shape)

    def witnesses(self, k: int = 16) -> CriticWitnesses:
        """The ``k`` samples of each side that show the difference best, or fewer if fewer are kept.

        Raises:
            UsageError: ``k`` is not between 1 and the largest number kept.
        """
        k, most = accepted("k", k, int), MOST_WITNESSES
        if not 1 <= k <= most:
            raise UsageError(f"k must be between 1 and {most}, not {k}; score(x) takes any number of samples")
        a, b = self._extremes
        return CriticWitnesses(a=a.first(k), b=b.first(k))

    def _of_tensor(self, x: Tensor) -> Tensor:
        if not (torch.is_grad_enabled() and x.requires_grad):
            return self._frozen.potentials(x.detach()).to(x.device)
        module: Tensor = self.module().to(x.device)(x)
        return module

    def _samples(self, x: Any) -> Tensor:
        """Samples as a tensor of shape (n, dim), in the units of the source."""
        given = self._columns(x)
        values = given if isinstance(given, Tensor) else _tensor(given)
        if values.is_complex():
            raise SourceError("x holds complex numbers; give real ones")
        shapes = {self.event_shape, (self._frozen.dim,)}
        if values.ndim < 1 or tuple(values.shape[1:]) not in shapes:
            wanted = shape_text((1, *self.event_shape)).replace("1", "n", 1)
            raise SourceError(f"x has the shape {shape_text(tuple(values.shape))}; give samples of shape {wanted}")
        return self._in_units(values.reshape(len(values), -1))

    def _columns(self, x: Any) -> Any:
        """Selects the columns of the source in its order if x is a data frame and the columns have names."""
        columns = self._sides[0].columns
        if columns is None or not hasattr(x, "columns"):
            return x
        names = [column.name for column in columns]
        if missing := [name for name in names if name not in set(x.columns)]:
            raise SourceError(f"x has no column {missing[0]!r}; give a frame with the columns {', '.join(names)}")
        if is_plain(columns):
            return x[names]
        encoding = Encoding(columns=columns, scaling=self._sides[0].scaling)
        (source,) = encoded_as([open_source(x[names])], encoding, metric=self._metric).sources
        assert isinstance(source, FiniteSource)
        return source.read(slice(0, source.count))

    def _in_units(self, values: Tensor) -> Tensor:
        if values.is_floating_point():
            return values
        stored = str(values.dtype).removeprefix("torch.")
        side = next((side for side in self._sides if side.dtype == stored), None)
        return values.double() if side is None else in_units(values, side)


def _tensor(x: Any) -> Tensor:
    try:
        return torch.as_tensor(np.array(x, dtype=None if hasattr(x, "dtype") else np.float64))
    except (TypeError, ValueError) as error:
        raise SourceError(f"x, {shown(x)}, holds no numbers ({first_line(error)}); give a tensor, an array or a frame") from error


def witnesses_kept(info: SourceInfo) -> int:
    """Number of extreme samples kept for one side."""
    return max(1, min(MOST_WITNESSES, _WITNESS_NUMBERS // info.dim))


def extremes(rows: ResidentRows, info: SourceInfo, scores: np.ndarray, *, sign: int) -> Extremes:
    """The samples with the highest ``sign`` times the score."""
    chosen = np.argsort(-sign * scores, kind="stable")[: witnesses_kept(info)]
    samples = rows.take(torch.from_numpy(chosen).to(rows.values.device)).cpu()
    return Extremes(samples=samples.reshape(len(samples), *info.event_shape), rows=chosen, scores=scores[chosen])
