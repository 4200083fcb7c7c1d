"""Trainings side by side in forks: the same results as one after another, and an end for every way to end."""

import os
import signal
import sys
import time
from contextlib import closing
from functools import partial

import pytest
import torch

from tests.trials import pair_of
from wdist.checkpoints.folder import kept
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.pairing import open_pair
from wdist.data.sources.pairs import cones
from wdist.data.sources.source import EndlessSource, SourceInfo
from wdist.distributed.processes import ProcessesError
from wdist.errors import TrainingDiverged
from wdist.estimation.estimate import run_estimate
from wdist.estimation.options import EstimateOptions
from wdist.estimation.run import Run
from wdist.estimation.side_by_side import lanes, pays, side_by_side
from wdist.training.budget import Budget
from wdist.training.observer import CriticFinished, CriticStarted, StageProgress

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="trainings are forked on Linux only")


class Elsewhere(EndlessSource):
    """A generator that wdist did not build in."""

    info = SourceInfo(address="elsewhere", kind="generator", event_shape=(2,), count=None, dtype="float32")

    def draw(self, n, generator):
        return torch.randn(n, 2, generator=generator)


class Recorder:
    def __init__(self):
        self.events = []

    def notify(self, event):
        self.events.append(event)


@pytest.fixture
def run():
    return Run.start(EstimateOptions(), Recorder())


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def found(tasks, run, *, count=2):
    return side_by_side(tasks, run, what="tasks", count=count, costs=[1.0] * len(tasks))


def test_results_come_in_the_order_of_the_tasks_from_processes_of_one_thread(run, two_threads):
    def task(number):
        return lambda: (time.sleep(0.05 * (3 - number)), number, os.getpid(), torch.get_num_threads())[1:]

    numbers, processes, threads = zip(*found([task(number) for number in range(4)], run), strict=True)
    assert numbers == (0, 1, 2, 3)
    assert len({*processes, os.getpid()}) == 5
    assert set(threads) == {1}
    assert torch.get_num_threads() == 2


def test_events_of_all_tasks_tell_the_share_that_is_done(run):
    def task():
        run.agenda.critic("cones", "10 steps", 1.0)
        run.agenda.observer.notify(CriticFinished(critic="cones", steps=10, seconds=0.1, best=1.0, interrupted=False))

    found([task, task], run)
    events = run.agenda.observer.events
    assert [event.critic for event in events if isinstance(event, CriticFinished)] == ["cones", "cones"]
    assert [event.fraction for event in events if isinstance(event, StageProgress)] == [0.5, 1.0]
    assert not any(isinstance(event, CriticStarted) for event in events)


def test_the_error_of_a_task_is_raised(run):
    def diverges():
        raise TrainingDiverged("it diverged")

    with pytest.raises(TrainingDiverged, match="it diverged"):
        found([lambda: 1, diverges], run)


def test_another_exception_shows_where_it_was_raised(run):
    def fails():
        raise LookupError("a mistake")

    with pytest.raises(LookupError, match="a mistake") as raised:
        found([fails, lambda: time.sleep(60)], run)
    assert "in fails" in "".join(raised.value.__notes__)


def test_what_cannot_be_sent_is_told_apart_from_a_process_that_was_ended(run):
    with pytest.raises(RuntimeError, match="Outcome cannot be sent from a fork"):
        found([lambda: lambda: None, lambda: time.sleep(60)], run)


def test_a_process_that_is_killed_is_told_in_a_sentence(run):
    with pytest.raises(ProcessesError, match=r"was killed \(exit status -9\).*OMP_NUM_THREADS=1"):
        found([lambda: os.kill(os.getpid(), signal.SIGKILL), lambda: time.sleep(60)], run)


def test_ctrl_c_reaches_tasks_under_way_once_and_no_other_task_begins(run, tmp_path):
    parent = os.getpid()

    def interrupted(work):
        try:
            work()
            time.sleep(60)
        except KeyboardInterrupt:
            time.sleep(0.2)  # another one would end this
            return "what there was by then"

    def press():
        while not (tmp_path / "under way").exists():
            time.sleep(0.01)
        os.kill(parent, signal.SIGINT)

    interrupts, waits = partial(interrupted, press), partial(interrupted, (tmp_path / "under way").touch)
    assert found([interrupts, waits, lambda: "begun"], run) == ["what there was by then", "what there was by then", None]
    assert run.interruption.requested


def test_a_second_ctrl_c_ends_all_at_once(run):
    parent = os.getpid()

    def obstinate():
        for _ in range(2):
            os.kill(parent, signal.SIGINT)
            try:
                time.sleep(60)
            except KeyboardInterrupt:
                time.sleep(0.15)  # one that comes sooner is the same
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        found([obstinate, lambda: time.sleep(60)], run)


@pytest.mark.parametrize(
    ("costs", "count", "threaded", "worth_it"),
    [
        ([1.0] * 5, 1, False, False),
        ([1.0], 4, False, False),
        ([1.0] * 4, 2, False, True),
        ([1.0] * 4, 2, True, True),
        ([6.0, 1.0, 1.0], 2, False, True),
        ([6.0, 1.0, 1.0], 2, True, False),
        ([1.0] * 5, 16, True, False),
    ],
)
def test_forks_pay_where_threads_would_leave_cores_idle(costs, count, threaded, worth_it):
    assert pays(costs, count, threaded=threaded) == worth_it


def _assert_same(together, one_by_one):
    assert [each.name for each in together.critics] == [each.name for each in one_by_one.critics]
    for ours, other in zip(together.critics, one_by_one.critics, strict=True):
        assert [each.name for each in ours.tried] == [each.name for each in other.tried]
        assert ours.steps == other.steps
        values = (ours.samples.lower, ours.population.lower, ours.population.estimate)
        assert values == pytest.approx((other.samples.lower, other.population.lower, other.population.estimate), rel=1e-5)


def _counted_forks(monkeypatch):
    forks = []

    def counting(tasks, *arguments, **how):
        forks.append(len(tasks))
        return side_by_side(tasks, *arguments, **how)

    for room in ("critics", "folds"):
        monkeypatch.setattr(f"wdist.estimation.{room}.side_by_side", counting)
    return forks


@pytest.mark.parametrize(("repeats", "folds", "forked"), [(1, 3, [2, 3]), (2, None, [6])])
def test_an_estimate_finds_the_same_critics_side_by_side(two_threads, monkeypatch, generator, repeats, folds, forked):
    forks = _counted_forks(monkeypatch)
    settings = CriticSettings(width=16, depth=3, batch_size=32)
    options = EstimateOptions(budget=Budget(steps=40), settings=settings, repeats=repeats, folds=folds, blocks=0)
    a = torch.randn(90, 4, generator=generator)
    b = 0.5 * torch.randn(80, 4, generator=generator) + 1

    together = run_estimate(a, b, options)
    assert forks == forked
    torch.set_num_threads(1)
    _assert_same(together, run_estimate(a, b, options))
    assert forks == forked


def test_draws_are_the_same_side_by_side(two_threads, monkeypatch, no_transport):
    forks = _counted_forks(monkeypatch)
    pair = cones(2)
    settings = CriticSettings(width=16, depth=3, batch_size=32)
    options = EstimateOptions(budget=Budget(steps=40), settings=settings, draws=500, critic="groupsort-bjorck", blocks=0)

    together = run_estimate(pair.a, pair.b, options, command="synthetic")
    assert forks == [3]
    torch.set_num_threads(1)
    _assert_same(together, run_estimate(pair.a, pair.b, options, command="synthetic"))


def test_nothing_is_forked_where_a_checkpoint_follows_or_a_generator_may_hold_a_thread(two_threads, tmp_path, run, generator):
    a, b = torch.randn(60, 2, generator=generator), torch.randn(60, 2, generator=generator)
    with closing(pair_of(a, b)) as pair:
        assert lanes(pair, run) == 2
        with kept(tmp_path / "state", command="estimate", settings={}):
            assert lanes(pair, run) == 1
    with closing(open_pair(Elsewhere(), b, access=Access(), seed=0, device=run.device)) as pair:
        assert lanes(pair, run) == 1
