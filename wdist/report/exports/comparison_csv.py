"""A comparison as comma-separated values."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wdist.comparison.ranking import Comparison

COLUMNS = (
    "name",
    "kind",
    "address",
    "first_place",
    "last_place",
    "population_estimate",
    "population_lower",
    "population_upper",
    "confidence",
    "held_out_reference",
    "held_out_source",
    "samples_lower",
    "samples_upper",
    "samples_exact",
    "n_reference",
    "n_source",
    "critic",
    "lipschitz_bound",
    "steps",
    "seconds",
)
"""Of the comma-separated form, in their order."""


def comma_separated(comparison: Comparison) -> str:
    """A row for each source in the order of the ranking, then the noise floor; numbers at full precision, empty where none."""
    table = io.StringIO()
    writer = csv.DictWriter(table, fieldnames=COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in comparison.entries:
        ranked = entry is not comparison.noise_floor
        first, last = comparison.places(entry) if ranked else (None, None)
        samples, population, critic = entry.samples, entry.population, entry.estimate.critic
        writer.writerow(
            {
                "name": entry.name,
                "kind": "source" if ranked else "noise floor",
                "address": entry.source.address,
                "first_place": first,
                "last_place": last,
                "population_estimate": population.estimate,
                "population_lower": population.lower,
                "population_upper": population.upper,
                "confidence": comparison.confidence,
                "held_out_reference": population.n_a,
                "held_out_source": population.n_b,
                "samples_lower": samples.lower,
                "samples_upper": samples.upper,
                "samples_exact": "true" if samples.exact else "false",
                "n_reference": samples.n_a,
                "n_source": samples.n_b,
                "critic": critic.name,
                "lipschitz_bound": critic.lipschitz_bound,
                "steps": critic.steps,
                "seconds": entry.estimate.seconds,
            }
        )
    return table.getvalue()
