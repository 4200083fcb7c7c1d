"""Cone critics as a kind: settings that follow from the data, and centres to start from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trials import CPU, pair_of, shape_of, trial, two_moons
from wdist.critics.settings import CriticSettings
from wdist.data.sources.pairs import funnels
from wdist.studies.bench.tightness import fall
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.envelopes import EnvelopeSearch, first_centres
from wdist.training.kind import DataShape, TrainingJob
from wdist.training.mixture import mixture_means

CONES = CATALOGUE["cones"]


@pytest.mark.parametrize("dim", [1, 2, 33, 784, 5000])
@pytest.mark.parametrize("samples", [None, 12, 3000, 10**6])
def test_everything_that_concerns_cones_is_settled(dim, samples):
    """Few samples feed few cones, and in more dimensions a step looks at more of them, as far as memory goes."""
    settings = CONES.resolve(CriticSettings(), shape_of(dim, samples=samples)).settings
    assert settings.batch_size * dim <= 1 << 24
    assert CONES.resolve(CriticSettings(), shape_of(dim, samples=10)).settings.centres <= settings.centres
    asked = {"centres": 7, "batch_size": 11, "learning_rate": 0.1, "schedule": "cosine", "lipschitz": 2.0}
    assert vars(CONES.resolve(CriticSettings(**asked), shape_of(dim, samples=samples)).settings) == asked


def test_centres_are_samples_of_the_side_that_lies_low(generator):
    """In their place or drawn towards the mean; the same seed takes the same ones."""
    low = torch.randn(40, 3, generator=generator) + 9
    near, far = first_centres(low, 25, seed=0), first_centres(low, 25, seed=0, share=0.3)
    assert all(bool((low == centre).all(1).any()) for centre in near)
    torch.testing.assert_close(far, 0.3 * near)
    assert not torch.equal(near, first_centres(low, 25, seed=1))


@pytest.mark.parametrize("name", ["cones", "elliptic-cones"])
def test_either_orientation_is_found(name):
    """Mass that moves outwards and inwards: the sign follows from the samples."""
    z = np.random.default_rng(0).normal(size=(600, 4))
    for a, b in ((3 * z, z[::-1]), (z, 3 * z[::-1])):
        found = trial(a.copy(), b.copy(), name=name, steps=120, settings=CriticSettings(centres=2, batch_size=64))
        assert found.samples.lower > 0.85 * 2 * np.linalg.norm(z, axis=1).mean()


@pytest.mark.parametrize("name", ["cones", "elliptic-cones"])
def test_a_longer_training_leaves_out_an_orientation_only_if_it_fell_clearly_short(name):
    z = np.random.default_rng(0).normal(size=(600, 4))
    inwards, apart = (3 * z, z[::-1].copy()), (z, z[::-1] + 4.0)
    for (a, b), orientations in ((inwards, {1}), (apart, {1, -1})):
        spec = CATALOGUE[name].resolve(CriticSettings(centres=2, batch_size=64), shape_of(4, samples=400))
        job = TrainingJob(pair=pair_of(a, b), seed=0, device=CPU)
        first = spec.kind.fit(spec, job, Budget(steps=100))
        narrowed = spec.kind.narrowed(first)
        assert set(narrowed.orientations) == orientations
        again = narrowed.fit(replace(spec, kind=narrowed), job, Budget(steps=100))
        assert set(again.plan.orientations) == orientations, "no other was tried"
        assert again.plan.sign == first.plan.sign


@pytest.mark.parametrize("samples", [(50, 50), (15, 150)], ids="{0[0]} to {0[1]} samples".format)
def test_a_mixture_finds_all_places_around_which_samples_lie(samples, generator):
    """Forty places in twenty dimensions; one round misses some of them, and so do many in which heavy places keep two means."""
    places = torch.nn.functional.normalize(torch.randn(40, 20, generator=generator), dim=1)
    x = places.repeat_interleave(torch.linspace(*samples, 40).long(), 0)
    x += 0.15 * torch.randn(x.shape, generator=generator)
    means = mixture_means(x - x.mean(0), 40, torch.Generator().manual_seed(0)) + x.mean(0)
    assert float(torch.cdist(places, means).amin(1).max()) < 0.25


def test_a_mixture_of_few_or_equal_samples_is_finite(generator):
    for x in (torch.zeros(9, 3), torch.randn(2, 3, generator=generator), torch.randn(1, 3, generator=generator)):
        assert bool(torch.isfinite(mixture_means(x, 16, torch.Generator().manual_seed(0))).all())


def test_few_cones_are_tried_where_samples_are_few_and_generalise():
    """256 cones learn 2,000 samples by heart."""
    pair = funnels(32, 4)
    a, b = (side.draw(2000, torch.Generator().manual_seed(seed)).numpy() for seed, side in enumerate((pair.a, pair.b)))
    found = trial(a, b, name="cones", steps=100, settings=CriticSettings())
    assert found.settings["centres"] == 16
    assert fall(found, *pair.coupled(4000, torch.Generator().manual_seed(2))) > 0.88


@pytest.mark.parametrize("seconds", [1e-9, None])
def test_once_the_time_is_up_only_both_orientations_are_tried(seconds, monkeypatch):
    """A single step on large samples may take longer than the whole budget."""
    tried, run = [], EnvelopeSearch.run
    monkeypatch.setattr(EnvelopeSearch, "run", lambda search, *arguments: tried.append(arguments[1]) or run(search, *arguments))
    kind, pair = CATALOGUE["cones"], pair_of(*two_moons(600, 600, 3))
    spec = kind.resolve(CriticSettings(), DataShape.of(pair))
    budget = Budget(steps=2) if seconds is None else Budget(seconds=seconds)
    kind.fit(spec, TrainingJob(pair=pair, seed=0, device=CPU), budget)
    assert (tried == [1, -1]) == (seconds is not None)


def test_few_elliptic_cones_are_tried_where_samples_are_few_unless_their_number_is_given():
    a, b = two_moons(400, 400, 6)
    for settings, allowed in ((CriticSettings(), {4, 16}), (CriticSettings(centres=7), {7})):
        found = trial(a, b, name="elliptic-cones", steps=60, settings=settings)
        assert found.settings["centres"] in allowed
