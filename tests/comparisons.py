"""Comparisons made by hand, so that what follows from intervals is tested without computing any."""

from dataclasses import replace

import torch

from tests.estimates import made_critic, made_estimate
from wdist.comparison.entry import Entry
from wdist.comparison.ranking import NOISE_FLOOR, Comparison
from wdist.comparison.witnesses import Witnesses


def made_entry(name, population, samples=(1.0, 1.0), *, counts=(500, 400), images=None):
    """One source with these ends: (lower, estimate, upper) of the distributions, (lower, upper) of the samples."""
    critic = made_critic()
    lower, estimate, upper = population
    bound = replace(critic.population, lower=lower, estimate=estimate, upper=upper, upper_method=upper and "blocks", jointly_with=2)
    interval = replace(
        critic.samples, lower=samples[0], upper=samples[1], exact=samples[0] == samples[1], n_a=counts[0], n_b=counts[1]
    )
    critic = replace(critic, population=bound, samples=interval)
    found = made_estimate(dim=64, critic=critic, baselines=(), truth=None, command="compare")
    shape = (8, 8) if images is None else tuple(images.shape[1:])
    sides = {side: replace(getattr(found, side), event_shape=shape, count=counts[side == "b"]) for side in "ab"}
    found = replace(found, **sides, digest_a="a" * 64, digest_b="b" * 64)
    return Entry(name=name, estimate=found, witnesses=None if images is None else made_witnesses(images))


def made_witnesses(images):
    values = tuple(float(value) for value in torch.linspace(2, 1, len(images)))
    return Witnesses(reference=images, reference_potentials=values, source=1 - images, source_potentials=values[::-1])


def made_comparison(*entries, floor=(0.0, -0.01, 0.75), **changes):
    """A comparison of these entries, sorted by their estimates."""
    ranking = tuple(sorted(entries, key=lambda entry: entry.population.estimate))
    first = ranking[0].estimate
    facts = {
        "reference": first.a,
        "digest": first.digest_a,
        "ranking": ranking,
        "noise_floor": None if floor is None else made_entry(NOISE_FLOOR, floor, (0.5, 0.5), counts=(250, 250)),
        "confidence": 0.95,
        "results": len(ranking) + (floor is not None),
        "slope": 0.25,
        "metric": "l2",
        "features": None,
        "seed": 0,
        "seconds": 12.3,
        "environment": first.environment,
    }
    return Comparison(**{**facts, **changes})
