"""What an estimate proves, in one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wdist.report.names import METHODS, METRICS
from wdist.report.numbers import at_most, counted, level, lower_bound, nearest

if TYPE_CHECKING:
    from wdist.data.sources.source import SourceInfo
    from wdist.estimation.result import Estimate

_DIGITS = 5


def sentence(estimate: Estimate) -> str:
    """What is bounded, in which metric and units, at what confidence, from how many samples."""
    metric = METRICS.get(estimate.metric, estimate.metric)
    units = _units(estimate)
    distance = "W1" if estimate.features is None else f"W1 in the space of the features {estimate.features.spec}"
    samples, population = estimate.samples, estimate.population
    drawn = "draws" if estimate.a.count is None and estimate.b.count is None else "samples"
    held_out = f"{counted(population.n_a)} of A and {counted(population.n_b)} of B"
    if not estimate.certified:
        return (
            f"The critic {estimate.critic.name} has no certificate, so its dual value on held-out samples ({held_out}) "
            f"bounds nothing: it is not a bound for {distance} ({metric}, {units})."
        )
    sets = f"these {counted(samples.n_a)} {drawn} of A and {counted(samples.n_b)} of B"
    first = f"{distance} ({metric}, {units}) between {sets} is at least {lower_bound(samples.lower, _DIGITS)}"
    if samples.upper is not None and samples.exact:
        first += f"; its exact value is {nearest(samples.upper, _DIGITS)}"
    elif samples.upper is not None:
        first += f" and at most {at_most(samples.upper, _DIGITS)}"
    second = f"between the distributions behind them it is at least {lower_bound(population.lower, _DIGITS)}"
    if population.upper is not None:
        second += f" and at most {at_most(population.upper, _DIGITS)}"
    method = METHODS.get(population.method, population.method)
    if population.upper is not None and population.upper_method is not None:
        method = f"below by {method}; above by {population.upper_method}"
    second += f" with {level(population.confidence)} confidence ({method}), from {held_out} held out of every choice"
    return f"{first}; {second}."


def _units(estimate: Estimate) -> str:
    def worded(info: SourceInfo) -> str:
        if info.units in ("as stored", ""):
            return "in the units of the data"
        return f"in the units {info.units}" if info.units.startswith("of ") else f"values {info.units}"

    if estimate.a.units == estimate.b.units:
        return worded(estimate.a)
    return f"A {worded(estimate.a)}, B {worded(estimate.b)}"
