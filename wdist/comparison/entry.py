"""One source of a comparison."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from wdist.comparison.witnesses import Witnesses
from wdist.critics.frozen import Potentials
from wdist.data.sources.source import SourceInfo
from wdist.estimation.result import Detected, Estimate, PopulationBound, SamplesInterval


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One source and its distance from the reference."""

    name: str
    estimate: Estimate
    """Estimate with the reference as A and the source as B."""
    witnesses: Witnesses | None = None
    on_others: Mapping[str, tuple[Potentials, ...]] = field(default_factory=dict, compare=False, repr=False)
    """Values of this source's critics on other sources, by the names of these: each fold's critic on the samples of its fold,
    divided by its certificate."""

    @property
    def source(self) -> SourceInfo:
        return self.estimate.b.beside_reference

    @property
    def samples(self) -> SamplesInterval:
        return self.estimate.samples

    @property
    def population(self) -> PopulationBound:
        return self.estimate.population

    @property
    def detected(self) -> Detected | None:
        return self.estimate.detected
