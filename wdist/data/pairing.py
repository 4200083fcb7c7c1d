"""Pairs of comparable sources: opened, split and standardised."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wdist.checkpoints.checkpoint import current
from wdist.data.access import Access
from wdist.data.comparable import ComparableSource, comparable, surveyed
from wdist.data.features.space import FeatureSpace, check_one_space
from wdist.data.measure import Measure, fold_of, make_measure
from wdist.data.rows import ResidentRows, Rows, evenly, gather, row_hashes
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, Source
from wdist.data.standardisation import Standardisation
from wdist.data.survey import Survey
from wdist.data.tables.joint import jointly_encoded
from wdist.ground_metric import L2, GroundMetric

_FIT_ROWS, _FIT_DRAWN, _FIT_NUMBERS = 20_000, 4096, 1 << 24
"""Training samples of each side for fitting the standardisation: rows of a set in memory, rows and coordinates of others."""
_SHARED, _DISTINCT = 0.01, 0.99
"""Fraction of samples shared by both sides that is worth a warning, and of distinct samples within a side that makes it telling."""
_HASHED_NUMBERS = 1 << 27
"""Most coordinates in which shared samples are looked for, which takes a second or two."""
_COMPARED_ROWS = 1024
"""Samples of each side and split by which processes check that they hold the same ones."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pair:
    """The two measures of one estimation."""

    a: Measure
    b: Measure
    standardisation: Standardisation
    participation: float
    """Participation ratio of the training samples' covariance: about how many directions carry their variance."""
    warnings: tuple[str, ...]

    @property
    def identical(self) -> bool:
        """True if both sides hold the same rows in the same units, so that W1 between them is 0."""
        units = [(side.info.scale, side.info.offset, side.info.dropped) for side in (self.a, self.b)]
        return self.a.digest is not None and self.a.digest == self.b.digest and units[0] == units[1]

    @property
    def independent(self) -> tuple[Rows, Rows]:
        """Samples of both sides that are independent of the ground metric: of A, not the training split that it was fitted to."""
        return (self.a.untrained_on if self.a.info.fitted else self.a.everything), self.b.everything

    @property
    def standardised(self) -> tuple[Tensor, Tensor]:
        """All samples of both sides, standardised, float64, on the CPU; shapes (n, dim) and (m, dim)."""
        return self.standardisation.on_cpu(gather(self.a.everything)), self.standardisation.on_cpu(gather(self.b.everything))

    @property
    def divisible(self) -> bool:
        """Whether the samples can be divided into folds: all in memory, and those of at least one side stored."""
        in_memory = all(isinstance(side.everything, ResidentRows) for side in (self.a, self.b))
        return in_memory and (self.a.endless is None or self.b.endless is None)

    def fold(self, folds: int, number: int, *, seed: int) -> "Pair":
        """The same samples, of which fold ``number`` of ``folds`` is held out."""
        a, b = (fold_of(side, folds, number, seed=seed, side=which) for which, side in enumerate((self.a, self.b)))
        fitted = Standardisation.fit(*(side.training_sample(_FIT_ROWS) for side in (a, b)))
        return replace(self, a=a, b=b, standardisation=fitted)

    @property
    def without_validation(self) -> "Pair":
        """The pair for critics that need no validation split and are trained on it instead."""
        return replace(self, a=self.a.without_validation, b=self.b.without_validation)

    def close(self) -> None:
        self.a.close()
        self.b.close()


def fingerprint(pair: Pair) -> str:
    """A digest by which two processes check that they have the same samples, drawn ones included."""
    digest = hashlib.sha256(f"{pair.a.digest} {pair.b.digest}".encode())
    for side in (pair.a, pair.b):
        for rows in (side.validation, side.held_out):
            digest.update(gather(rows.some(_COMPARED_ROWS)).cpu().numpy().tobytes())
    return digest.hexdigest()


def open_pair(
    a: Any,
    b: Any,
    *,
    access: Access,
    seed: int,
    device: torch.device,
    metric: GroundMetric = L2,
    features: FeatureSpace | None = None,
    most_held: tuple[int | None, int | None] = (None, None),
    draws: int | None = None,
    in_memory: bool = True,
    recombined: bool = False,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Pair:
    """Opens and prepares both sides, each an address, a tensor, an array or an open source, mapped to ``features`` if given.

    Tables that are not encoded yet are encoded together for the ground ``metric`` (:mod:`wdist.data.tables.joint`).

    At most ``most_held`` rows of each side are held out, as in :func:`~wdist.data.measure.make_measure`, and ``draws`` of an
    endless one. With ``in_memory`` false, even small stored sets are streamed. If B holds ``recombined`` rows of A, made so that
    held-out samples are independent, equal samples raise no warning. ``progress`` receives the completed fraction of the
    passes over both sides.
    """
    joint = jointly_encoded([open_source(side, access, seed=seed) for side in (a, b)], access, seed=seed, metric=metric)
    sources, warnings = _surveyed(joint.sources, features, access, seed=seed, progress=progress)

    def measured(side: int) -> Measure:
        source, survey = sources[side]
        digest = None if survey is None else survey.digest
        held = draws if isinstance(source, EndlessSource) else most_held[side]
        return make_measure(source, side=side, seed=seed, device=device, digest=digest, most_held=held, in_memory=in_memory)

    measure_a = measured(0)
    try:
        measure_b = measured(1)
    except BaseException:
        measure_a.close()
        raise
    drawn = max(1, min(_FIT_DRAWN, _FIT_NUMBERS // measure_a.info.dim))
    fit_a, fit_b = (measure.training_sample(_FIT_ROWS, drawn=drawn) for measure in (measure_a, measure_b))
    pair = Pair(
        a=measure_a,
        b=measure_b,
        standardisation=Standardisation.fit(fit_a, fit_b),
        participation=_participation(_some_of_both(fit_a, fit_b)),
        warnings=(*joint.warnings, *warnings),
    )
    if current().active:
        _confirm_samples(pair)
    if pair.identical:
        same = "A and B hold the same rows, so W1 between the two sample sets is exactly 0"
        return replace(pair, warnings=(*pair.warnings, same))
    return pair if recombined else replace(pair, warnings=(*pair.warnings, *_shared_samples(pair)))


def _surveyed(
    sources: Sequence[Source], features: FeatureSpace | None, access: Access, *, seed: int, progress: Callable[[float], None]
) -> tuple[list[tuple[Source, Survey | None]], tuple[str, ...]]:
    """Both sources, mapped to ``features`` if given, with what a survey found, and warnings about their comparison."""
    passes = 2 if features is None else 4

    def read(number: int, fraction: float) -> None:
        progress((number + fraction) / passes)

    sides = comparable(sources, access, seed=seed, mapped=features is not None, keep=features is None, progress=read)
    if features is None:
        return [(side.source, side.survey) for side in sides], sides[1].warnings
    mapped = [_mapped(side, features, access, partial(read, 2 + number)) for number, side in enumerate(sides)]
    check_one_space(*(source for source, _ in mapped))
    return mapped, sides[1].warnings


def _shared_samples(pair: Pair) -> tuple[str, ...]:
    """A warning if both sides share samples; none if samples repeat within a side, because shared ones may then be independent."""
    stored = pair.a.endless is None and pair.b.endless is None
    rows = [side.everything for side in (pair.a, pair.b)]
    if not stored or not all(isinstance(each, ResidentRows) for each in rows):
        return ()
    if sum(each.count for each in rows) * pair.a.info.dim > _HASHED_NUMBERS:
        return ()
    a, b = (row_hashes(each) for each in rows)
    if any(len(np.unique(each)) < _DISTINCT * len(each) for each in (a, b)):
        return ()
    shared = int(np.isin(a, b).sum())
    if shared <= _SHARED * min(len(a), len(b)):
        return ()
    return (
        f"{shared:,} samples of A also occur in B, but the bounds for the populations assume that both sides are independent; "
        "leave these samples out of one side",
    )


def _confirm_samples(pair: Pair) -> None:
    """Makes sure that a resumed run has the samples of the interrupted one; SourceError if a side holds others."""
    sides = {"A": pair.a, "B": pair.b}
    current().confirm("samples", {name: side.digest or _digest(side.validation) for name, side in sides.items()})


def _digest(rows: ResidentRows) -> str:
    """SHA-256 of draws, which stand for an endless source."""
    return hashlib.sha256(gather(rows).cpu().numpy().tobytes()).hexdigest()


def _mapped(
    side: ComparableSource, features: FeatureSpace, access: Access, progress: Callable[[float], None]
) -> tuple[Source, Survey | None]:
    mapped = features.of(side.source, side.ends, digest=side.digest)
    return (side.source, side.survey) if mapped is side.source else surveyed(mapped, access, progress=progress)


def _some_of_both(a: ResidentRows, b: ResidentRows) -> torch.Tensor:
    """At most 1000 rows spread evenly over both, float64, on the CPU."""
    chosen = evenly(a.count + b.count, 1000)
    return torch.cat([a.take(chosen[chosen < a.count]).cpu(), b.take(chosen[chosen >= a.count] - a.count).cpu()])


def _participation(x: torch.Tensor) -> float:
    """(tr C)^2 / tr C^2 of the covariance C, by the Gram matrix without its diagonal, which would inflate it for few samples."""
    x = x - x.mean(0)
    largest = max(map(abs, map(float, x.aminmax())))
    if largest == 0:
        return 1.0
    x /= largest
    G = x @ x.mT
    own = G.diagonal()
    others = float(G.square().sum() - own.square().sum()) / (len(x) * (len(x) - 1))
    return min(float(own.mean()) ** 2 / others, float(x.shape[1])) if others > 0 else float(x.shape[1])
