"""Estimates made by hand, so that what follows from them is tested without training anything."""

from dataclasses import replace

import torch

from wdist.data.sources.source import SourceInfo
from wdist.environment import Environment
from wdist.estimation.result import Attempt, CriticResult, Estimate, PopulationBound, Repeats, SamplesInterval
from wdist.lipschitz.frozen_layer import LayerBound
from wdist.training.observer import HistoryPoint


class Cones:
    """Stands for a frozen critic: the lower envelope of cones, softened by a factor."""

    def __init__(self, centres, slope=1.0):
        self.centres = torch.tensor(centres, dtype=torch.float64)
        self.dim = self.centres.shape[1]
        self.parameters = 1234
        self.slope = slope

    def potentials(self, x):
        return self.slope * torch.cdist(x.to(torch.float64), self.centres).min(dim=1).values


def made_critic(name="groupsort-bjorck", lower=0.98765, upper=1.01, *, exact=False, frozen=None, steps=1200, final=0.99):
    history = tuple(
        HistoryPoint(
            step=step, seconds=step / 40, training=final * (1 - 0.9 ** (step / 25)), validation=final * (1 - 0.92 ** (step / 25))
        )
        for step in range(0, steps + 1, 25)
    )
    return CriticResult(
        name=name,
        samples=SamplesInterval(lower=lower, upper=upper, exact=exact, upper_method="exact transport", n_a=5000, n_b=4000),
        population=PopulationBound(
            estimate=lower + 0.001,
            lower=lower - 0.01,
            upper=None,
            confidence=0.95,
            jointly_with=3,
            method="welch",
            n_a=1000,
            n_b=800,
        ),
        training_value=lower + 0.01,
        lipschitz_bound=1.0 + 2.3e-10,
        layers=(LayerBound(layer="affine 64x2", bound=1.0 + 2.3e-10, method="gram"),),
        steps=steps,
        seconds=30.123,
        parameters=123456,
        settings={
            "width": 64,
            "depth": 3,
            "group_size": 8,
            "batch_size": 256,
            "optimizer": "muon",
            "learning_rate": 0.02,
            "cooldown": None,
        },
        history=history,
        converged=True,
        frozen=frozen or Cones([[0.0, 0.0]]),
    )


def made_estimate(dim=2, **changes):
    centres = {1: [[0.0]], 2: [[-2.0, 0.0], [0.0, 0.0], [2.0, 0.0]]}.get(dim, [[0.0] * dim])
    generator = torch.Generator().manual_seed(0)
    centre = torch.tensor(centres)[torch.randint(len(centres), (300,), generator=generator)]
    direction = torch.nn.functional.normalize(torch.randn(300, dim, generator=generator))
    info = SourceInfo(
        address=f"synthetic:cones?dim={dim}&side=a",
        kind="synthetic",
        event_shape=(dim,),
        count=None,
        dtype="float32",
        units="as stored",
    )
    facts = {
        "command": "estimate",
        "critic": made_critic(frozen=Cones(centres)),
        "baselines": (
            made_critic("relu-spectral", 0.31234, frozen=Cones(centres, 0.3), final=0.35),
            made_critic("relu-bjorck", 0.64321, frozen=Cones(centres, 0.6), final=0.66),
        ),
        "a": info,
        "b": replace(info, address=f"synthetic:cones?dim={dim}&side=b"),
        "digest_a": None,
        "digest_b": None,
        "metric": "l2",
        "seed": 0,
        "truth": 1.0,
        "seconds": 95.2,
        "environment": Environment(
            wdist="0.1.0",
            python="3.12.1",
            torch="2.13.0",
            platform="Linux",
            device="cpu",
            threads=2,
            precision="float32 training, float64 certificate",
        ),
        "preview": (centre + direction, centre.clone()) if dim <= 2 else None,
        "warnings": (),
    }
    facts |= changes
    critic = facts["critic"]
    return Estimate(**{"samples": replace(critic.samples, lower_method=critic.name), **facts})


def chosen_critic(dim=2):
    """Cones, chosen from four that were tried; the c-transform closes the samples interval, blocks bound the populations."""
    estimate = made_estimate(dim, truth=None, tolerance=0.02)
    named = {"mean-difference": (0.011, 0.002, 0), "groupsort-bjorck": (0.941, 9.87, 812), "cones": (0.9861, 4.2, 1033)}
    tried = tuple(
        Attempt(name=name, validation=value, seconds=seconds, steps=steps, chosen=name == "cones")
        for name, (value, seconds, steps) in {**named, "single-cone": (-0.2, 0.004, 0)}.items()
    )
    population = replace(
        estimate.critic.population, upper=1.23456, upper_method="mean of 8 blocks of 500, Student's t", jointly_with=4
    )
    critic = replace(estimate.critic, name="cones", tried=tried, population=population)
    samples = replace(critic.samples, lower=1.00876, lower_method="c-transform of the optimal potentials", exact=True)
    return replace(estimate, critic=critic, samples=samples)


def repeated(critic, spread):
    """The same critic with two further seeds."""
    offsets = (0.0, spread, -spread)
    return replace(
        critic,
        repeats=Repeats(
            seeds=(0, 1, 2),
            estimates=tuple(critic.population.estimate + offset for offset in offsets),
            lowers=tuple(critic.samples.lower + offset for offset in offsets),
        ),
    )


def compared_critics(dim=2):
    """Nine critics, two of them without a constraint, three seeds each."""
    estimate = made_estimate(dim)
    centres = estimate.critic.frozen.centres.tolist()
    named = {
        "relu-spectral": 0.3,
        "relu-bjorck": 0.625,
        "maxmin-bjorck": 0.8,
        "groupsort-9-bjorck": 0.93,
        "householder-bjorck": 0.94,
        "mean-difference": 0.01,
    }
    others = [
        repeated(made_critic(name, lower, frozen=Cones(centres, lower), final=lower), 0.0123) for name, lower in named.items()
    ]
    free = {"gradient-penalty-one-sided": 2.31234, "adversarial-lipschitz": 0.71234}
    others += [
        replace(
            repeated(made_critic(name, 0.000123456, frozen=Cones(centres, 0.2), final=raw), 0.0000321),
            bound_by_construction=False,
            raw_value=raw,
            largest_slope=1.41239,
            lipschitz_bound=213.41,
        )
        for name, raw in free.items()
    ]
    return replace(estimate, critic=repeated(estimate.critic, 0.001), baselines=tuple(others), comparison=True)
