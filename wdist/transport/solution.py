"""``wdist.transport``: optimal transport between weighted samples, as a plan with bounds and dual variables."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.arguments import shown
from wdist.data.access import Access
from wdist.data.comparable import check_comparable
from wdist.data.memory import planned_memory, size_text
from wdist.data.rows import in_units
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource, Source, SourceInfo
from wdist.data.standardisation import Standardisation
from wdist.data.survey import check_exact
from wdist.data.tables.joint import jointly_encoded
from wdist.environment import choose_device
from wdist.errors import SourceError, UsageError, first_line
from wdist.ground_metric import GroundMetric, ground_metric
from wdist.lipschitz.linalg.rounding import LARGEST_SQUARED, product_above
from wdist.presentable import Presentable
from wdist.transport.column_generation import MOST_ROUNDS, bytes_held, column_generation
from wdist.transport.coupling import Execution, Plan, cost_above, displacement

_AIM = 0.999
"""Fraction of a requested gap that the solver aims at; the rest is left for rounding."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Transport(Presentable):
    """Transport between two sets of samples, in the units of the data."""

    lower: float
    """Proved lower bound for W1."""
    upper: float
    """Proved upper bound for W1: the cost of the plan."""
    exact: bool
    """Whether the plan is optimal, up to rounding."""
    plan: Plan
    potentials: tuple[Tensor, Tensor]
    """Dual variables u, shape (n,), and v, shape (m,), float64, with u_i + v_j <= d(x_i, y_j) up to the gap; nan for samples
    without weight."""
    metric: str
    a: SourceInfo
    b: SourceInfo
    """Both sides, with the units of their values."""
    interrupted: bool = False
    warnings: tuple[str, ...] = ()

    @property
    def cost(self) -> float:
        """Cost of the plan."""
        return self.upper

    @property
    def relative_gap(self) -> float:
        """Gap between the bounds relative to the upper one; 0 if both are 0."""
        return (self.upper - self.lower) / self.upper if self.upper > 0 else 0.0


def transport(
    x: Any,
    y: Any,
    *,
    weights: tuple[Any, Any] | None = None,
    metric: str = "l2",
    tol: float = 1e-3,
    seed: int = 0,
    device: str = "auto",
    access: Access | None = None,
    bounded: Callable[[float, float], None] = lambda lower, upper: None,
) -> Transport:
    """Implements :func:`wdist.transport`, which documents arguments, result and errors."""
    if not 0 <= tol < 1:
        raise UsageError(f"tol must be at least 0 and below 1, not {tol:g}; 2 % of the distance is written 0.02")
    access = access or Access()
    joint = jointly_encoded([open_source(side, access) for side in (x, y)], access, seed=seed, metric=ground_metric(metric))
    points = [_points(source, name, access) for source, name in zip(joint.sources, ("x", "y"), strict=True)]
    usable = [torch.isfinite(side).all(dim=1) for side in points]
    first, second = (_ends(side[kept]) for side, kept in zip(points, usable, strict=True))
    warnings = check_comparable(joint.sources[0], joint.sources[1], first, second)
    given = (None, None) if weights is None else weights
    if not isinstance(given, Sequence) or len(given) != 2:
        raise UsageError(f"weights must be a pair (for x, for y), either of which may be None, not {shown(weights)}")
    masses = [_masses(own, kept, name) for own, kept, name in zip(given, usable, ("x", "y"), strict=True)]
    points = [torch.where(kept[:, None], side, 0.0) for side, kept in zip(points, usable, strict=True)]
    needed = bytes_held(len(points[0]), len(points[1]), points[0].shape[1])
    if needed > planned_memory():
        raise SourceError(
            f"transport between {len(points[0]):,} and {len(points[1]):,} samples takes {size_text(needed)} of memory; give fewer "
            f"samples, or use wdist.estimate, which couples them in blocks"
        )
    execution = Execution(device=choose_device(device), bounded=bounded)
    infos = [source.info for source in joint.sources]
    return replace(_solved(infos, points, masses, ground_metric(metric), tol, seed, execution), warnings=warnings)


def _points(source: Source, name: str, access: Access) -> Tensor:
    """All samples of a side, float64, shape (n, dim), on the CPU; some are finite, and all of them unless others may be dropped."""
    if not isinstance(source, FiniteSource):
        raise SourceError(f"{name} is drawn without end; save draws to a file and give that")
    points = in_units(source.read(slice(0, source.count)), source.info).cpu()
    finite = torch.isfinite(points).all(dim=1)
    if not bool(finite.any()) or not (access.drop_nonfinite or bool(finite.all())):
        raise SourceError(f"{name} holds nan or infinite values; drop those samples with --drop-nonfinite")
    if float(points[finite].abs().max()) > LARGEST_SQUARED:
        raise SourceError(f"{name} holds values beyond {LARGEST_SQUARED:g}; divide both sides by the same number")
    check_exact(source.info, float(points[finite].abs().max()))
    return points


def _ends(points: Tensor) -> tuple[float, float]:
    return float(points.min()), float(points.max())


def _masses(weights: Any, usable: Tensor, name: str) -> np.ndarray:
    """Weights with sum 1, shape (n,); 0 for samples that ``usable``, shape (n,), excludes."""
    count, kept = len(usable), usable.numpy()
    if weights is None:
        return kept / kept.sum()
    try:
        masses = np.asarray(weights, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"weights of {name} are not numbers ({first_line(error)}); give one weight for each sample") from error
    if masses.shape != (count,):
        raise UsageError(f"{name} has {count} samples and weights of shape {masses.shape}; give one weight for each sample")
    if not (np.isfinite(masses).all() and (masses >= 0).all() and (masses > 0).any()):
        raise UsageError(f"weights of {name} must be finite and not negative, and not all of them 0")
    masses = np.where(kept, masses, 0.0)
    if not (masses > 0).any():
        raise UsageError(f"no finite sample of {name} has weight; give other weights")
    masses = masses / masses.max()  # the sum of large weights would overflow
    return masses / masses.sum()


def _solved(
    infos: Sequence[SourceInfo],
    points: list[Tensor],
    masses: list[np.ndarray],
    metric: GroundMetric,
    tol: float,
    seed: int,
    execution: Execution,
) -> Transport:
    """Solves transport between samples of positive mass, in standardised units; other samples have no dual variables."""
    heavy = [np.flatnonzero(mass) for mass in masses]
    x, y = (side[chosen] for side, chosen in zip(points, heavy, strict=True))
    standardisation, outer = Standardisation.fit(x, y), execution.bounded
    spread, x, y = standardisation.spread, standardisation.apply(x), standardisation.apply(y)
    a, b = (mass[chosen] for mass, chosen in zip(masses, heavy, strict=True))
    rounding = displacement(x, metric, a) + displacement(y, metric, b)

    def bounded(lower: float, upper: float) -> None:
        outer(max(0.0, lower - rounding) * spread, (upper + rounding) * spread)

    found = column_generation(
        x, y, a, b, metric, tolerance=_AIM * tol, rounds=MOST_ROUNDS, seed=seed, execution=replace(execution, bounded=bounded)
    )
    if found is None:
        raise KeyboardInterrupt
    potentials = [torch.full((len(mass),), math.nan, dtype=torch.float64) for mass in masses]
    for side, chosen, own in zip(potentials, heavy, found.plan.potentials, strict=True):
        side[torch.from_numpy(chosen)] = own * spread
    return Transport(
        lower=max(0.0, math.nextafter((found.lower - rounding) * spread, 0.0)),
        upper=product_above(cost_above(x, y, a, b, found.plan, metric), spread),
        exact=found.plan.optimal,
        plan=Plan(rows=heavy[0][found.plan.rows], columns=heavy[1][found.plan.columns], mass=found.plan.mass),
        potentials=(potentials[0], potentials[1]),
        metric=metric.name,
        a=infos[0],
        b=infos[1],
        interrupted=execution.interruption.requested,
    )
