"""Pairs of comparable sources: opened, surveyed, checked, split and standardised."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from wdist.checkpoints.checkpoint import current
from wdist.data.access import Access
from wdist.data.features.space import Ends, FeatureDraws, FeatureRows, FeatureSpace, check_one_space
from wdist.data.measure import Measure, fold_of, make_measure
from wdist.data.rows import ResidentRows, Rows, evenly, gather
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, FiniteSource, ReorderedRows, Source, SourceInfo, shape_text
from wdist.data.standardisation import Standardisation
from wdist.data.survey import Survey, finite_rows, survey
from wdist.data.tables.joint import Encoding, encoded_as, jointly_encoded
from wdist.errors import SourceError, UsageError
from wdist.ground_metric import L2, GroundMetric

_FIT_ROWS, _FIT_DRAWN = 20_000, 4096
"""Training samples of each side for fitting the standardisation; the latter from a stream or draws."""
_COMPARED_ROWS = 1024
"""Samples of each side and split by which processes compare theirs."""
_CHANNELS, _FIRST, _LAST = (3, 4), (2, 0, 1), (1, 2, 0)
"""Channels of images in colour, and the orders of axes that move them."""
_LARGEST = 1e300
"""Largest magnitude that leaves room in float64 for distances between samples."""


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
        """Samples of both sides that are independent of the ground metric: of A only those that it was not fitted to."""
        return (self.a.untrained_on if self.a.info.fitted else self.a.everything), self.b.everything

    @property
    def standardised(self) -> tuple[Tensor, Tensor]:
        """All samples of both sides, standardised, float64, on the CPU; shapes (n, dim) and (m, dim)."""
        return self.standardisation.on_cpu(gather(self.a.everything)), self.standardisation.on_cpu(gather(self.b.everything))

    @property
    def divisible(self) -> bool:
        """Whether the samples can be divided into folds: those of stored sets in memory, and draws beside them."""
        in_memory = all(isinstance(side.everything, ResidentRows) for side in (self.a, self.b))
        return in_memory and (self.a.endless is None or self.b.endless is None)

    def fold(self, folds: int, number: int, *, seed: int) -> "Pair":
        """The same samples, of which fold ``number`` of ``folds`` is held out."""
        a, b = (fold_of(side, folds, number, seed=seed, side=which) for which, side in enumerate((self.a, self.b)))
        fitted = Standardisation.fit(*(side.training_sample(_FIT_ROWS) for side in (a, b)))
        return replace(self, a=a, b=b, standardisation=fitted)

    @property
    def without_validation(self) -> "Pair":
        """The same for critics that need no validation split, and learn from it instead."""
        return replace(self, a=self.a.without_validation, b=self.b.without_validation)

    def close(self) -> None:
        self.a.close()
        self.b.close()


def fingerprint(pair: Pair) -> str:
    """A digest by which two processes tell whether they have the same samples, drawn ones included."""
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
    encoding: Encoding | None = None,
    features: FeatureSpace | None = None,
    most_held: tuple[int | None, int | None] = (None, None),
    draws: int | None = None,
    in_memory: bool = True,
    progress: Callable[[float], None] = lambda fraction: None,
) -> Pair:
    """Opens and prepares both sides, each an address, a tensor, an array or an open source, mapped to ``features``, if any.

    Tables are encoded together for the ground ``metric`` (:mod:`wdist.data.tables.joint`), or as ``encoding`` says.

    At most ``most_held`` rows of each side are held out, as in :func:`~wdist.data.measure.make_measure`, and ``draws`` of an
    endless one. With ``in_memory`` false, stored sets are streamed, however small. ``progress`` receives the fraction of the passes
    over both sides that is done.
    """
    passes = 2 if features is None else 4

    def part(number: int) -> Callable[[float], None]:
        return lambda fraction: progress((number + fraction) / passes)

    opened = [open_source(side, access, seed=seed) for side in (a, b)]
    if encoding is None:
        joint = jointly_encoded(opened, access, seed=seed, metric=metric)
    else:
        joint = encoded_as(opened, encoding, metric=metric)
    arranged = joint.sources if features is not None else (joint.sources[0], like(joint.sources[0], joint.sources[1]))
    (source_a, found_a), (source_b, found_b) = (
        surveyed(side, access, seed=seed, progress=part(number)) for number, side in enumerate(arranged)
    )
    range_a, range_b = observed_range(source_a, found_a), observed_range(source_b, found_b)
    if features is None:
        warnings = check_comparable(source_a, source_b, range_a, range_b)
    else:
        warnings = check_scales(source_a, source_b, range_a, range_b)
        source_a, found_a = _mapped(source_a, found_a, range_a, features, access, part(2))
        source_b, found_b = _mapped(source_b, found_b, range_b, features, access, part(3))
        check_one_space(source_a, source_b)

    def measured(side: int, source: Source, found: Survey | None) -> Measure:
        digest = None if found is None else found.digest
        held = draws if isinstance(source, EndlessSource) else most_held[side]
        return make_measure(source, side=side, seed=seed, device=device, digest=digest, most_held=held, in_memory=in_memory)

    measure_a = measured(0, source_a, found_a)
    try:
        measure_b = measured(1, source_b, found_b)
    except BaseException:
        measure_a.close()
        raise
    fit_a, fit_b = (measure.training_sample(_FIT_ROWS, drawn=_FIT_DRAWN) for measure in (measure_a, measure_b))
    pair = Pair(
        a=measure_a,
        b=measure_b,
        standardisation=Standardisation.fit(fit_a, fit_b),
        participation=_participation(_some_of_both(fit_a, fit_b)),
        warnings=(*joint.warnings, *warnings),
    )
    if current().active:
        _check_resumable(pair)
    if pair.identical:
        same = "A and B hold the same rows, so W1 between the two sample sets is exactly 0"
        return replace(pair, warnings=(*pair.warnings, same))
    return pair


def _check_resumable(pair: Pair) -> None:
    """Makes sure that the samples can be taken up again, and are those of the run that is resumed.

    Raises:
        UsageError: minibatches of a side cannot be taken up where they were.
        SourceError: a side holds other samples.
    """
    sides = {"A": pair.a, "B": pair.b}
    for name, side in sides.items():
        if not hasattr(side.train, "resumable"):
            raise UsageError(f"{name} is streamed, and cannot be read again from where it was; leave out --checkpoint")
    current().confirm("samples", {name: side.digest or _digest(side.validation) for name, side in sides.items()})


def _digest(rows: ResidentRows) -> str:
    """SHA-256 of draws, which stand for an endless source."""
    return hashlib.sha256(gather(rows).cpu().numpy().tobytes()).hexdigest()


def like(reference: Source, other: Source) -> Source:
    """The other source with its channels where those of the reference are, if both are plainly images in colour."""
    wanted, found = reference.info.event_shape, other.info.event_shape
    if wanted == found or len(wanted) != 3 or len(found) != 3 or not isinstance(other, FiniteSource):
        return other
    first, last = tuple(found[axis] for axis in _FIRST), tuple(found[axis] for axis in _LAST)
    # Fewer channels than rows and columns, on the outside: neither side could be an image in another order.
    if wanted == first and found[2] in _CHANNELS and min(found[:2]) > max(_CHANNELS):
        order, words = _FIRST, "first"
    elif wanted == last and found[0] in _CHANNELS and min(found[1:]) > max(_CHANNELS):
        order, words = _LAST, "last"
    else:
        return other
    moved = ReorderedRows(other, order)
    said = f"channels are moved {words}, where {reference.info.address} has them"
    moved.info = replace(moved.info, notes=(*moved.info.notes, said))
    return moved


def surveyed(
    address: Any, access: Access, *, seed: int = 0, progress: Callable[[float], None] = lambda fraction: None
) -> tuple[Source, Survey | None]:
    """An open source of rows from which a distance can be computed, and the survey of its rows; no survey if they are drawn."""
    (source,) = jointly_encoded([open_source(address, access, seed=seed)], access, seed=seed).sources
    if not isinstance(source, FiniteSource):
        return source, None
    found = survey(source, progress, cache=access.cache)
    if found.minimum is not None and found.maximum is not None and max(-found.minimum, found.maximum) > _LARGEST:
        raise SourceError(
            f"{source.info.address} ranges from {found.minimum:g} to {found.maximum:g}, too far for differences in float64; "
            f"divide both sides by the same number and save them again"
        )
    kept = finite_rows(source, found, access)
    if found.constant:
        what = "samples" if not isinstance(source, FeatureRows) else "rows of features"
        raise SourceError(
            f"all {kept.count} {what} of {source.info.address} are equal, which looks like a failed export; give others, "
            f"or synthetic:dirac?dim={source.info.dim} for a single point"
        )
    return kept, found


def _mapped(
    source: Source,
    found: Survey | None,
    ends: Ends | None,
    features: FeatureSpace,
    access: Access,
    progress: Callable[[float], None],
) -> tuple[Source, Survey | None]:
    mapped = features.of(source, ends, digest=None if found is None else found.digest)
    return (source, found) if mapped is source else surveyed(mapped, access, progress=progress)


def observed_range(source: Source, found: Survey | None) -> Ends | None:
    """Smallest and largest observed value, in the units of the source; None for features and synthetic sources."""
    if isinstance(source, FeatureRows | FeatureDraws):
        return None  # features of any range may be compared
    if isinstance(source, EndlessSource):
        if source.info.kind == "synthetic":
            return None  # its definition fixes its scale
        rows = source.draw(256, torch.Generator().manual_seed(0))
        return float(rows.min()), float(rows.max())
    return None if found is None or found.minimum is None or found.maximum is None else (found.minimum, found.maximum)


def check_comparable(a: Source, b: Source, range_a: Ends | None = None, range_b: Ends | None = None) -> tuple[str, ...]:
    """Refuses two sources whose samples are not points of one space, or clearly have different units; returns warnings.

    A range is the observed one of a source, or None if nothing was observed. Event shapes may differ by flattening; one side in
    0..255 and the other in 0..1 or -1..1 is refused unless an address has ``range=``, or neither side has an address.
    """
    return (*_check_shapes(a.info, b.info), *check_scales(a, b, range_a, range_b))


def _check_shapes(a: SourceInfo, b: SourceInfo) -> tuple[str, ...]:
    if a.event_shape == b.event_shape:
        return ()
    shapes = f"{a.address} has samples of shape {shape_text(a.event_shape)}, {b.address} of shape {shape_text(b.event_shape)}"
    if a.dim != b.dim:
        raise SourceError(f"{shapes}; give two sources whose samples have the same shape")
    # An axis of length 1 does not change the order: (1, 28, 28), (28, 28) and (28, 28, 1) are the same images.
    kept_a, kept_b = (tuple(n for n in info.event_shape if n != 1) for info in (a, b))
    if kept_a == kept_b:
        return ()
    if min(len(kept_a), len(kept_b)) == 1:
        return (f"{shapes}; they are compared flattened, row by row",)
    colours = sorted(kept_a) == sorted(kept_b) and len(kept_a) == 3
    colour_way = "move the channels with ?channels=last or ?channels=first, or x.permute(0, 3, 1, 2) of a tensor"
    way_out = colour_way if colours else "bring the axes into the same order"
    raise SourceError(f"{shapes}, the same number of coordinates in another order; {way_out}")


def check_scales(source_a: Source, source_b: Source, range_a: Ends | None, range_b: Ends | None) -> tuple[str, ...]:
    """Checks the ranges of two sources of any shape, as :func:`check_comparable` does."""
    a, b = source_a.info, source_b.info
    if range_a is None or range_b is None or _range_chosen(a) or _range_chosen(b):
        return ()
    for wide, wide_range, narrow, narrow_range in ((a, range_a, b, range_b), (b, range_b, a, range_a)):
        if _looks_like_bytes(wide_range) and _looks_like_unit(narrow_range):
            ranges = f"{wide.address} is in {_interval(wide_range)} and {narrow.address} in {_interval(narrow_range)}"
            told = f"{ranges}, which looks like two scalings of the same data"
            if not (a.addressed or b.addressed):
                return (f"{told}; if so, rescale the first",)
            raise SourceError(
                f"{told}; rescale the first with ?stored=0:255&range=unit, or confirm the difference with ?range=raw in an address"
            )
    images = min(len(a.event_shape), len(b.event_shape)) >= 2
    units = _looks_like_unit(range_a) and _looks_like_unit(range_b)
    if images and units and _looks_symmetric(range_a) != _looks_symmetric(range_b):
        former, latter = (a, b) if _looks_symmetric(range_a) else (b, a)
        way_out = "add ?stored=-1:1&range=unit to the former" if former.addressed else "rescale the former"
        return (f"{former.address} looks like images in -1..1, {latter.address} like images in 0..1; if unintended, {way_out}",)
    return ()


def _interval(ends: Ends) -> str:
    return f"{ends[0]:g}..{ends[1]:g}"


def _range_chosen(info: SourceInfo) -> bool:
    _, _, query = info.address.partition("?")
    return any(part.startswith("range=") for part in query.split("&"))


def _looks_like_bytes(ends: Ends) -> bool:
    """True within 0..255 and far above any overshoot of an image in [0, 1]."""
    return ends[0] >= -0.5 and 20 < ends[1] <= 255.5


def _looks_like_unit(ends: Ends) -> bool:
    return ends[0] >= -1.1 and ends[0] < ends[1] <= 1.1


def _looks_symmetric(ends: Ends) -> bool:
    return ends[0] < -0.2


def _some_of_both(a: ResidentRows, b: ResidentRows) -> torch.Tensor:
    """At most 1000 rows spread evenly over both, float64, on the CPU."""
    chosen = evenly(a.count + b.count, 1000)
    return torch.cat([a.take(chosen[chosen < a.count]).cpu(), b.take(chosen[chosen >= a.count] - a.count).cpu()])


def _participation(x: torch.Tensor) -> float:
    """(tr C)^2 / tr C^2 of the covariance C, by the Gram matrix without its diagonal, which would inflate it for few samples."""
    x = x - x.mean(0)
    largest = float(x.abs().max())
    if largest == 0:
        return 1.0
    G = (x / largest) @ (x / largest).mT
    own = G.diagonal()
    others = float(G.square().sum() - own.square().sum()) / (len(x) * (len(x) - 1))
    return min(float(own.mean()) ** 2 / others, float(x.shape[1])) if others > 0 else float(x.shape[1])
