"""Words for results: metrics, methods and units as a reader knows them, and the verdict of an estimate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.numbers import at_most, counted, level, lower_bound, nearest

if TYPE_CHECKING:
    from wdist.data.sources.source import SourceInfo
    from wdist.estimation.result import Estimate, PopulationBound

METRICS = {"l2": "Euclidean metric", "l1": "L1 metric", "linf": "L-infinity metric"}
METHODS = {"welch": "Welch's t, asymptotic", "empirical-bernstein": "empirical Bernstein", "betting": "betting"}
"""Methods of confidence bounds."""
DIGITS = 5
"""Significant digits of the headline numbers."""


def verdict(estimate: Estimate) -> str:
    """The conclusion of an estimate, in plain words."""
    samples, population = estimate.samples, estimate.population
    if estimate.digest_a is not None and estimate.digest_a == estimate.digest_b:
        return "A and B are the same samples: W1 is 0"
    confidence = f"with {level(population.confidence)} confidence"
    if population.lower > 0:
        return f"A and B differ: W1 is at least {lower_bound(population.lower, DIGITS)}, {confidence}"
    told = "No difference is proved at this sample size"
    if population.upper is not None:
        return f"{told}; W1 is at most {at_most(population.upper, DIGITS)}, {confidence}"
    if samples.exact and samples.upper is not None:
        return f"{told}; the two sample sets are {nearest(samples.upper, DIGITS)} apart"
    return told


def held_out(population: PopulationBound) -> str:
    """The samples that the bounds for the distributions rest on: ``from 150 held-out samples of A and 149 of B``."""
    return f"from {counted(population.n_a)} held-out samples of A and {counted(population.n_b)} of B"


def units(*sources: SourceInfo) -> str:
    """The units that distances between some sources are stated in."""
    words = list(dict.fromkeys(_worded(info) for info in sources))
    if len(words) == 1:
        return words[0]
    return ", ".join(f"{name} {word}" for name, word in zip("AB", words, strict=True))


def _worded(info: SourceInfo) -> str:
    if info.units in ("as stored", ""):
        return "in the units of the data"
    return f"in the units {info.units}" if info.units.startswith("of ") else f"values {info.units}"
