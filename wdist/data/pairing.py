"""Two sources made ready to stand against each other: opened, surveyed, checked, split, standardised."""

from dataclasses import dataclass
from typing import Any

import torch

from wdist.data.access import Access
from wdist.data.comparable import check_comparable, check_scales, drawn_range
from wdist.data.features.space import Ends, FeatureDraws, FeatureRows, FeatureSpace, check_one_space
from wdist.data.measure import Measure, make_measure
from wdist.data.rows import ResidentRows, evenly
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, FiniteSource, Source
from wdist.data.standardisation import Standardisation
from wdist.data.survey import Survey, finite_rows, survey
from wdist.errors import SourceError

_FIT_ROWS, _FIT_DRAWN = 20_000, 4096
"""Training samples of each side that the standardisation is fitted on; of a stream, or of draws, the latter."""
_LARGEST = 1e300
"""Values beyond this leave float64 no room for distances between samples."""


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
        """Both sides hold the same rows in the same units, so W1 between them is 0."""
        units = [(side.info.scale, side.info.offset, side.info.dropped) for side in (self.a, self.b)]
        return self.a.digest is not None and self.a.digest == self.b.digest and units[0] == units[1]

    def close(self) -> None:
        """Ends what still reads beside."""
        self.a.close()
        self.b.close()


def open_pair(a: Any, b: Any, *, access: Access, seed: int, device: torch.device, features: FeatureSpace | None = None) -> Pair:
    """Opens both sides and prepares them.

    Arguments:
        a, b: addresses, tensors, arrays or open sources.
        access: what opening may do.
        seed: of splits and draws.
        device: on which samples are held and drawn.
        features: the space that the samples are mapped to, if any; a side that lies there already stays.

    Raises:
        SourceError: one side cannot be read, or the two cannot be compared.
    """
    (source_a, found_a), (source_b, found_b) = surveyed(a, access, seed=seed), surveyed(b, access, seed=seed)
    range_a, range_b = observed_range(source_a, found_a), observed_range(source_b, found_b)
    if features is None:
        warnings = check_comparable(source_a, source_b, range_a, range_b)
    else:
        warnings = check_scales(source_a, source_b, range_a, range_b)
        source_a, found_a = _mapped(source_a, found_a, range_a, features, access)
        source_b, found_b = _mapped(source_b, found_b, range_b, features, access)
        check_one_space(source_a, source_b)
    measure_a = make_measure(source_a, side=0, seed=seed, device=device, digest=found_a.digest if found_a else None)
    try:
        measure_b = make_measure(source_b, side=1, seed=seed, device=device, digest=found_b.digest if found_b else None)
    except BaseException:
        measure_a.close()
        raise
    fit_a, fit_b = (measure.training_sample(_FIT_ROWS, drawn=_FIT_DRAWN) for measure in (measure_a, measure_b))
    pair = Pair(
        a=measure_a,
        b=measure_b,
        standardisation=Standardisation.fit(fit_a, fit_b),
        participation=_participation(_some_of_both(fit_a, fit_b)),
        warnings=warnings,
    )
    if pair.identical:
        return Pair(
            **{**vars(pair), "warnings": (*warnings, "A and B hold the same rows, so W1 between the two sample sets is exactly 0")}
        )
    return pair


def surveyed(address: Any, access: Access, *, seed: int = 0) -> tuple[Source, Survey | None]:
    """An open source of usable rows, with what one pass over them found; None where they are drawn.

    Raises:
        SourceError: it cannot be read, or holds what no distance can be computed from.
    """
    source = open_source(address, access, seed=seed)
    if not isinstance(source, FiniteSource):
        return source, None
    found = survey(source)
    if found.minimum is not None and found.maximum is not None and max(-found.minimum, found.maximum) > _LARGEST:
        raise SourceError(
            f"{source.info.address} reaches from {found.minimum:g} to {found.maximum:g}, too far for differences in float64; "
            f"divide both sides by one number and save them again"
        )
    kept = finite_rows(source, found, access)
    if found.constant:
        what = "samples" if not isinstance(source, FeatureRows) else "rows of features"
        raise SourceError(
            f"all {kept.count} {what} of {source.info.address} are equal, which looks like a failed export; give others, "
            f"or synthetic:dirac?dim={source.info.dim} where a single point is meant"
        )
    return kept, found


def _mapped(
    source: Source, found: Survey | None, ends: Ends | None, features: FeatureSpace, access: Access
) -> tuple[Source, Survey | None]:
    """The features of a source, surveyed in their turn."""
    mapped = features.of(source, ends)
    return (source, found) if mapped is source else surveyed(mapped, access)


def observed_range(source: Source, found: Survey | None) -> tuple[float, float] | None:
    """The least and the greatest value, in the units of the source; None where nothing was observed."""
    if isinstance(source, FeatureRows | FeatureDraws):
        return None  # features of any range may meet
    if isinstance(source, EndlessSource):
        return drawn_range(source)
    return None if found is None or found.minimum is None or found.maximum is None else (found.minimum, found.maximum)


def _some_of_both(a: ResidentRows, b: ResidentRows) -> torch.Tensor:
    """At most 1000 rows spread evenly over both, float64, on the CPU."""
    chosen = evenly(a.count + b.count, 1000)
    return torch.cat([a.take(chosen[chosen < a.count]).cpu(), b.take(chosen[chosen >= a.count] - a.count).cpu()])


def _participation(x: torch.Tensor) -> float:
    r"""(tr C)^2 / tr C^2 of the covariance C, by the Gram matrix of few samples.

    Products of a sample with itself are left out of tr C^2, which they would inflate when samples are few.
    """
    x = x - x.mean(0)
    largest = float(x.abs().max())
    if largest == 0:
        return 1.0
    G = (x / largest) @ (x / largest).mT
    own = G.diagonal()
    others = float(G.square().sum() - own.square().sum()) / (len(x) * (len(x) - 1))
    return min(float(own.mean()) ** 2 / others, float(x.shape[1])) if others > 0 else float(x.shape[1])
