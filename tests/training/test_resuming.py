"""A training that was killed at any step and resumed has the digits of one without a break, and so has what comes after it."""

import random
from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.trials import CPU, SMALL, digest, pair_of, two_moons
from wdist.checkpoints import folder as checkpoint
from wdist.checkpoints.folder import kept
from wdist.critics.settings import OPTIMIZERS
from wdist.data import measure
from wdist.interruption import Interruption
from wdist.training import loop
from wdist.training.budget import Budget
from wdist.training.catalogue import CATALOGUE
from wdist.training.kind import DataShape, TrainingJob

STEPS = 23
TRAINED = [name for name, kind in CATALOGUE.items() if kind.trained]
MOONS = two_moons(120, 100, 3)
DRAWN = "synthetic:gaussian?dim=3", "synthetic:gaussian?dim=3&shift=1"
FLAT = ("groupsort-conv",)


class Killed(BaseException):
    """The end of a process."""


@pytest.fixture
def killed(monkeypatch):
    """Ends the process before a step of the loop, counted over all trainings; everything is saved after each."""
    step, done = loop._Loop._next, [0]
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)

    def at(number):
        done[0] = 0

        def counted(self):
            done[0] += 1
            if done[0] == number:
                raise Killed
            return step(self)

        monkeypatch.setattr(loop._Loop, "_next", counted)

    return at


def fitted(name, sides, settings, *, seeds=(0,), interruption=None, steps=STEPS):
    """Digests and histories of critics, the first number that each stream then gives, and how many steps this process did."""
    pair = pair_of(*sides)
    try:
        spec = CATALOGUE[name].resolve(settings, DataShape.of(pair))
        shared = interruption or Interruption()
        jobs = [TrainingJob(pair=pair, seed=seed, device=CPU, interruption=shared) for seed in seeds]
        found = spec.kind.fit_together(spec, jobs, Budget(steps=steps))
        told = [(digest(each.critic), [(p.step, p.validation) for p in each.outcome.history], each.outcome.steps) for each in found]
        return told, [side.train.next(1).tolist() for side in (pair.a, pair.b)]
    finally:
        pair.close()


def resumed_often(name, sides, settings, killed, folder, *, kills, seeds=(0,)):
    """The same after some kills at random steps."""
    chance = random.Random(f"{name} {settings}")
    for number in range(kills):
        killed(chance.randrange(1, STEPS // 2))
        with pytest.raises(Killed), kept(folder, resume=number > 0, command="test", settings={}):
            fitted(name, sides, settings, seeds=seeds)
    killed(None)
    with kept(folder, resume=True, command="test", settings={}):
        return fitted(name, sides, settings, seeds=seeds)


def sides_of(name):
    if name in FLAT:
        return tuple(torch.rand(40, 1, 6, 6, generator=torch.Generator().manual_seed(seed)) + 0.2 * seed for seed in (0, 1))
    return MOONS


@pytest.mark.parametrize("name", TRAINED)
def test_every_kind_of_critic_goes_on_to_the_same_bits(name, killed, tmp_path):
    whole = fitted(name, sides_of(name), SMALL)
    assert resumed_often(name, sides_of(name), SMALL, killed, tmp_path / "run", kills=2) == whole


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_goes_on_to_the_same_bits(optimizer, killed, tmp_path):
    settings = replace(SMALL, optimizer=optimizer, learning_rate=0.01)
    whole = fitted("groupsort-bjorck", MOONS, settings)
    assert resumed_often("groupsort-bjorck", MOONS, settings, killed, tmp_path / "run", kills=2) == whole


@pytest.mark.parametrize("name", ["groupsort-bjorck", "cones", "elliptic-cones"])
def test_draws_go_on_where_they_were(name, killed, tmp_path):
    whole = fitted(name, DRAWN, SMALL)
    assert resumed_often(name, DRAWN, SMALL, killed, tmp_path / "run", kills=2) == whole


@pytest.mark.parametrize("name", ["groupsort-bjorck", "cones"])
def test_streams_go_on_where_they_were(name, killed, tmp_path, monkeypatch):
    monkeypatch.setattr(measure, "fits", lambda nbytes: False)
    monkeypatch.setattr(measure, "_POOL_BYTES", 1 << 12)
    sides = tuple(tmp_path / f"{side}.npy" for side in "ab")
    for path, rows in zip(sides, two_moons(900, 700, 3), strict=True):
        np.save(path, rows)
    whole = fitted(name, sides, SMALL)
    assert resumed_often(name, sides, SMALL, killed, tmp_path / "run", kills=3) == whole


@pytest.mark.parametrize("name", ["groupsort-bjorck", "relu-spectral"])
def test_critics_side_by_side_go_on_together(name, killed, tmp_path):
    whole = fitted(name, MOONS, SMALL, seeds=(0, 1, 2))
    assert resumed_often(name, MOONS, SMALL, killed, tmp_path / "run", kills=2, seeds=(0, 1, 2)) == whole


@pytest.mark.parametrize("name", ["cones", "elliptic-cones"])
def test_a_refit_goes_on_to_the_same_bits(name, killed, tmp_path):
    def refitted():
        pair = pair_of(*MOONS)
        spec = CATALOGUE[name].resolve(SMALL, DataShape.of(pair))
        job = TrainingJob(pair=pair, seed=0, device=CPU)
        found = spec.kind.fit(spec, job, Budget(steps=STEPS))
        return digest(found.critic), digest(spec.kind.refit(spec, replace(job, pair=pair.without_validation), found).critic)

    killed(None)
    whole, found, number = refitted(), None, 0
    assert whole[0] != whole[1]
    while found is None:
        killed(9)
        try:
            with kept(tmp_path / "run", resume=number > 0, command="test", settings={}):
                found = refitted()
        except Killed:
            number += 1
    assert found == whole
    assert number > 2


def test_a_finished_training_takes_no_step(killed, tmp_path):
    killed(None)
    with kept(tmp_path / "run", command="test", settings={}):
        whole = fitted("groupsort-bjorck", MOONS, SMALL)
    killed(1)
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert fitted("groupsort-bjorck", MOONS, SMALL) == whole


@pytest.mark.parametrize("name", ["groupsort-bjorck", "cones"])
def test_a_training_that_ended_before_its_result_was_kept_is_not_prolonged(name, tmp_path, monkeypatch):
    def end(self, result):
        if "training" in self._name:
            raise Killed
        finish(self, result)

    whole = fitted(name, MOONS, SMALL)
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    finish = checkpoint._FolderPart.finish
    monkeypatch.setattr(checkpoint._FolderPart, "finish", end)
    with pytest.raises(Killed), kept(tmp_path / "run", command="test", settings={}):
        fitted(name, MOONS, SMALL)
    monkeypatch.setattr(checkpoint._FolderPart, "finish", finish)
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert fitted(name, MOONS, SMALL) == whole


def test_ctrl_c_gives_a_result_and_the_training_can_be_resumed(tmp_path, monkeypatch):
    whole, step, interruption = fitted("groupsort-bjorck", MOONS, SMALL), loop._Loop._next, Interruption()

    def pressed(self):
        if self.step == 9:
            raise KeyboardInterrupt
        return step(self)

    with monkeypatch.context() as patched, kept(tmp_path / "run", command="test", settings={}):
        patched.setattr(loop._Loop, "_next", pressed)
        patched.setattr(checkpoint, "SECONDS", 0.0)
        (told, *_), _ = fitted("groupsort-bjorck", MOONS, SMALL, interruption=interruption)
    assert interruption.requested
    assert told[2] == 9
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert fitted("groupsort-bjorck", MOONS, SMALL) == whole


def test_of_a_budget_in_time_the_seconds_already_used_count(killed, tmp_path, monkeypatch):
    time = [0.0]
    monkeypatch.setattr(checkpoint.time, "perf_counter", lambda: time[0])
    step = loop._Loop._next

    def slow(self):
        time[0] += 1.0
        return step(self)

    monkeypatch.setattr(loop._Loop, "_next", slow)

    def fit():
        pair = pair_of(*MOONS)
        spec = CATALOGUE["groupsort-bjorck"].resolve(SMALL, DataShape.of(pair))
        return spec.kind.fit(spec, TrainingJob(pair=pair, seed=0, device=CPU), Budget(seconds=20.0)).outcome

    with monkeypatch.context() as patched:
        patched.setattr(loop._Loop, "_next", lambda self: (_ for _ in ()).throw(Killed) if self.step == 12 else slow(self))
        patched.setattr(checkpoint, "SECONDS", 0.0)
        with pytest.raises(Killed), kept(tmp_path / "run", command="test", settings={}):
            fit()
    time[0] += 500.0
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        outcome = fit()
    assert 18 <= outcome.steps <= 20
    assert 20 <= outcome.seconds <= 22
