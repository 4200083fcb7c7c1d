"""One source of a comparison."""

from dataclasses import dataclass

from wdist.comparison.witnesses import Witnesses
from wdist.data.sources.source import SourceInfo
from wdist.estimation.result import Detected, Estimate, PopulationBound, SamplesInterval


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One source and its distance from the reference."""

    name: str
    estimate: Estimate
    """Estimate with the reference as A and the source as B."""
    witnesses: Witnesses | None = None

    @property
    def source(self) -> SourceInfo:
        return self.estimate.b

    @property
    def samples(self) -> SamplesInterval:
        return self.estimate.samples

    @property
    def population(self) -> PopulationBound:
        return self.estimate.population

    @property
    def detected(self) -> Detected | None:
        return self.estimate.detected
