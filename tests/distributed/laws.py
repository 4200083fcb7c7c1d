"""Laws that hold between several processes and one, checked by each process of a job: ``torchrun laws.py RESULT``.

What each one computes alone is compared with what all compute together; the file tells for each law on each process what failed.
"""

import json
import os
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load

from tests.trials import untimed
from wdist import compare, estimate
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.pairing import open_pair
from wdist.data.sources.pairs import funnels
from wdist.distributed import processes as shared
from wdist.distributed.job import Job
from wdist.distributed.processes import ProcessesError, alone, check_same, processes
from wdist.environment import environment
from wdist.errors import SourceError
from wdist.estimation.evaluation import evaluate_rows
from wdist.estimation.proof import proof_of_estimate
from wdist.ground_metric import ground_metric
from wdist.interruption import Interruption
from wdist.studies.study import Conditions, Study
from wdist.training import shared_batches
from wdist.training.catalogue import CATALOGUE
from wdist.training.kind import DataShape
from wdist.training.observer import CriticStarted, Stage
from wdist.training.optimizers import make_optimizers
from wdist.training.shared_batches import SharedBatches
from wdist.training.step import TrainingStep
from wdist.transport.blocks import Work, couple
from wdist.transport.column_generation import column_generation
from wdist.transport.pricing import Pricing

RANDOM = np.random.default_rng(0)
X, Y = (torch.from_numpy(RANDOM.normal(size=(n, 5))) for n in (700, 600))
FAR = Y + 0.5


def arrays(result):
    return {name: np.asarray(value).tolist() for name, value in vars(result).items() if name != "potentials"}


def same(work):
    """Asserts that all processes together find, to the last bit, what one finds."""
    with alone():
        expected = work()
    assert work() == expected


def values_arrive_in_the_order_of_the_ranks():
    own = processes()
    assert own.gathered("ranks", own.rank) == list(range(own.size))
    assert own.from_first("rank", lambda: own.rank) == 0
    assert own.decided(own.rank + 0.5) == 0.5
    total = torch.full((3,), float(own.rank))
    own.sum_(total)
    assert total.tolist() == [sum(range(own.size))] * 3


def tasks_are_spread_and_their_results_keep_the_order():
    done = []

    def task(number):
        done.append(number)
        assert processes().size == 1
        return number**2

    own = processes()
    assert own.spread("squares", [lambda number=number: task(number) for number in range(7)]) == [n**2 for n in range(7)]
    assert done == list(range(own.rank, 7, own.size))


def tasks_with_costs_are_divided_evenly():
    done = []

    def task(number):
        done.append(number)
        return -number

    costs = [1, 1, 1, 5, 1, 1]
    assert processes().spread("tasks", [lambda n=n: task(n) for n in range(6)], costs=costs) == [-n for n in range(6)]
    loads = processes().gathered("loads", sum(costs[number] for number in done))
    assert max(loads) == 5


def an_error_of_one_task_is_raised_everywhere():
    def task(number):
        if number == 1:
            raise SourceError("task 1 failed")
        return number

    with pytest.raises(SourceError, match="task 1 failed"):
        processes().spread("tasks", [lambda number=number: task(number) for number in range(3)])
    with pytest.raises(SourceError, match="task 1 failed"):
        processes().from_first("a task", lambda: task(1))


def a_difference_is_found_everywhere():
    check_same("samples", "alike")
    with pytest.raises(ProcessesError, match="process 1 of this job has different samples from process 0"):
        check_same("samples", processes().rank)


def processes_that_part_ways_are_told_apart():
    with pytest.raises(ProcessesError, match="different stages"):
        processes().gathered(f"stage {processes().rank}", 0)


@contextmanager
def nobody_asked_to_stop():
    try:
        yield
    finally:
        shared._stop = shared._Stop()


def a_request_to_one_process_stops_all_at_one_exchange():
    own, interruption = processes(), Interruption()

    def work():
        if own.rank == own.size - 1:
            assert shared.stop_together()
        own.gathered("numbers", own.rank)
        raise AssertionError("nobody stopped")

    with nobody_asked_to_stop():
        assert interruption.attempt(work) is None
        assert interruption.requested
        assert Interruption().attempt(lambda: "it is told once") == "it is told once"


def what_a_task_found_before_it_was_stopped_is_kept():
    interruption = Interruption()

    def task(number):
        return "a part" if number == 0 and interruption.attempt(shared.stop_together) is None else "the whole"

    with nobody_asked_to_stop():
        assert processes().spread("tasks", [lambda number=number: task(number) for number in range(3)]) == [
            "a part",
            "the whole",
            "the whole",
        ]
        assert interruption.attempt(lambda: "more") is None


def pricing_finds_the_same_pairs_and_bounds():
    u, v = (0.2 * np.random.default_rng(3).normal(size=n) + 1.0 for n in (len(X), len(FAR)))
    for name in ("l2", "l1"):
        same(lambda name=name: arrays(Pricing(X, FAR, ground_metric(name)).below(u, v)))


def column_generation_finds_the_same_plan():
    a, b = (np.full(len(side), 1 / len(side)) for side in (X, FAR))

    def work():
        found = column_generation(X, FAR, a, b, small=100, tolerance=1e-6)
        return found.lower, found.upper, arrays(found.plan), [side.tolist() for side in found.plan.potentials]

    same(work)


def blocks_find_the_same_coupling():
    units = [np.full(len(side), len(other)) for side, other in ((X, FAR), (FAR, X))]

    def work():
        random = np.random.default_rng(1)
        return arrays(couple(X, FAR, *units, Work(parts=1, size=100, rounds=3), random=random, metric=ground_metric("l2")))

    same(work)


def potentials_of_shards_are_those_of_one_process():
    with alone():
        critic = estimate(X, FAR, critic="mean-difference", baselines="none", couplings=False).critic.frozen
    many = X.repeat(8, 1) * torch.linspace(1, 2, 8 * len(X))[:, None]
    rows = open_pair(many, FAR, access=Access(), seed=0, device=torch.device("cpu")).a.everything

    def work():
        found = evaluate_rows(critic, rows)
        return found.values.tolist(), found.rounding

    same(work)


def _numbers(result):
    return untimed(result.to_dict())


class Trained:
    """Keeps the names of the critics that this process trains."""

    def __init__(self, names):
        self.names = names

    def notify(self, event):
        if isinstance(event, CriticStarted):
            self.names.append(event.critic)


class Stages:
    """Keeps what this process announces."""

    def __init__(self, stages):
        self.stages = stages

    def notify(self, event):
        if isinstance(event, Stage):
            self.stages.append(event.what)


def an_estimate_is_the_same_document():
    same(lambda: _numbers(estimate(X[:300], FAR[:250], steps=10)))


def folds_are_divided_and_make_the_same_document_and_proof():
    trained = []

    def work():
        trained.clear()
        how = {"critic": "groupsort-bjorck", "baselines": "relu-bjorck", "width": 32, "observer": Trained(trained)}
        found = estimate(X[:300], FAR[:250], steps=5, folds=3, **how)
        return _numbers(found), {name: each.tolist() for name, each in load(proof_of_estimate(found)).items()}

    same(work)
    own = processes()
    assert trained == ["groupsort-bjorck", "relu-bjorck"] * len(range(own.rank, 3, own.size))


def a_critic_is_fitted_again_by_one_process_and_makes_the_same_document_and_proof():
    pair = funnels(8, 4)
    a, b = (side.draw(600, torch.Generator().manual_seed(seed)) for seed, side in enumerate((pair.a, pair.b)))
    stages = []

    def work(**how):
        stages.clear()
        found = estimate(a, b, steps=60, width=16, baselines="none", couplings=False, observer=Stages(stages), **how)
        return _numbers(found), {name: each.tolist() for name, each in load(proof_of_estimate(found)).items()}

    same(work)
    refits = [any("again, with the validation" in stage for stage in each) for each in processes().gathered("stages", stages)]
    assert refits.count(True) == 1
    same(lambda: work(folds=2))


def folds_that_are_fewer_than_processes_divide_their_minibatches():
    how = {"critic": "groupsort-bjorck", "baselines": "none", "width": 32, "batch_size": 64, "couplings": False, "folds": 2}
    trained, size = [], processes().size
    with every_step_shared():
        found = estimate(X, FAR, steps=10, observer=Trained(trained), **how)
    assert len(trained) == (2 if size > 2 else len(range(processes().rank, 2, size)))
    documents = processes().gathered("documents", _numbers(found))
    assert all(document == documents[0] for document in documents)


def critics_and_seeds_are_divided_and_make_the_same_document():
    how = {"critics": "groupsort-bjorck,relu-bjorck,gradient-penalty,mean-difference", "width": 32, "repeats": 4}
    trained = []

    def work():
        trained.clear()
        return _numbers(estimate(X[:300], FAR[:250], steps=5, observer=Trained(trained), **how))

    same(work)
    counts = processes().gathered("critics", len(trained))
    assert sum(counts) == 3 * 3 + 1  # the first seed, two side by side, the last one; of the closed form, one
    assert max(counts) - min(counts) <= 2


def candidates_and_baselines_are_divided_and_make_the_same_document():
    """Draws come from one sequence, and one of the baselines is a candidate."""
    trained, sides = [], ["synthetic:gaussian?dim=3", "synthetic:gaussian?dim=3&shift=1"]

    def work():
        trained.clear()
        how = {"baselines": "relu-bjorck,cones,gradient-penalty", "width": 32, "draws": 600}
        return _numbers(estimate(*sides, steps=10, observer=Trained(trained), couplings=False, **how))

    same(work)
    steps = {"cones", "elliptic-cones", "groupsort-bjorck", "relu-bjorck", "gradient-penalty"}
    each = [steps.intersection(names) for names in processes().gathered("critics", trained)]
    assert set.union(*each) == steps
    assert sum(map(len, each)) == len(steps)
    assert all(each)


def a_length_of_time_is_used_by_all():
    """Two trainings side by side each have as long as both would have in turn."""
    how = {"critics": "groupsort-bjorck,relu-bjorck", "width": 32, "couplings": False, "budget": 0.001}
    with alone():
        in_turn = estimate(X, FAR, **how)
    assert in_turn.critic.settings["budget"] == "0.05 s"  # the least
    assert estimate(X, FAR, **how).critic.settings["budget"] == "0.1 s"


def a_comparison_is_the_same_document():
    sources = [Y[:250], FAR[:250], 2 * FAR[:250]]
    same(lambda: _numbers(compare(X[:300], sources, steps=5, critic="groupsort-bjorck")))


def a_study_yields_its_rows_in_order():
    def measure(conditions):
        for name in ("a", "b", "c", "left out", "d"):
            if conditions.wanted(name):
                yield from conditions.rows(name, lambda name=name: iter([f"{name} 1", f"{name} 2"]))
        yield conditions.row("one", lambda: "e")

    study = Study(name="letters", title="", measure=measure, divisible=True)
    rows = study.run(Conditions(only=("a", "b", "c", "d"))).rows
    assert rows == ("a 1", "a 2", "b 1", "b 2", "c 1", "c 2", "d 1", "d 2", "e")


def networks_of(count):
    """Networks with the same weights, in float64, and how each is trained on minibatches of 37 samples a side."""
    kind = CATALOGUE["groupsort-bjorck"]
    shape = DataShape(event_shape=(5,), dim=5, participation=5.0, samples=1000)
    spec = kind.resolve(CriticSettings(width=32, group_size=4), shape)
    return [kind.build(spec, shape, torch.Generator().manual_seed(0)).double() for _ in range(count)]


def minibatches(steps):
    random = torch.Generator().manual_seed(1)
    for _ in range(steps):
        a = torch.randn(37, 5, generator=random).double()
        yield a, torch.randn(37, 5, generator=random).double() + 0.5


def optimizers_of(network):
    return make_optimizers(network, name="muon", learning_rate=0.05)


def steps_on_slices_are_steps_on_the_whole_minibatch():
    one, other = networks_of(2)
    whole, shared = TrainingStep(one, optimizers_of(one)), SharedBatches(other, 37)
    together = shared.ascent(TrainingStep(other, [shared, *optimizers_of(other)]))
    for a, b in minibatches(20):
        expected = whole(a, b, factor=0.5)
        assert torch.allclose(together(shared.own(a), shared.own(b), factor=0.5), expected, rtol=1e-9, atol=0)
        shared.check()
    for left, right in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.allclose(left, right, rtol=1e-9, atol=1e-12)


def weights_that_rounding_made_differ_are_those_of_the_first_process_again():
    (network,) = networks_of(1)
    shared = SharedBatches(network, 37)
    step = TrainingStep(network, [shared, *optimizers_of(network)])
    for number, (a, b) in enumerate(minibatches(3)):
        step(shared.own(a), shared.own(b), factor=1.0)
        if number == 1:
            with torch.no_grad():
                next(network.parameters()).mul_(1 + 1e-9 * processes().rank)
            shared.check()
    assert len(set(processes().gathered("weights", str([each.tolist() for each in network.parameters()])))) == 1


def weights_that_differ_by_more_are_an_error_everywhere():
    (network,) = networks_of(1)
    with torch.no_grad():
        next(network.parameters()).mul_(1 + processes().rank)
    with pytest.raises(ProcessesError, match="weights of the processes differ"):
        SharedBatches(network, 37).check()


@contextmanager
def every_step_shared():
    before = shared_batches.LEAST_SLICE, shared_batches._WORTH
    shared_batches.LEAST_SLICE, shared_batches._WORTH = 8, 0.0
    try:
        yield
    finally:
        shared_batches.LEAST_SLICE, shared_batches._WORTH = before


def a_training_on_slices_is_one_training():
    how = {"critic": "groupsort-bjorck", "baselines": "none", "width": 32, "batch_size": 64, "couplings": False}
    with alone():
        alone_found = estimate(X, FAR, steps=40, **how)
    with every_step_shared():
        found = estimate(X, FAR, steps=40, **how)
        timed = estimate(X, FAR, budget=0.5, **how)
    assert abs(found.samples.lower - alone_found.samples.lower) < 0.02 * alone_found.samples.lower
    for each in (found, timed):
        documents = processes().gathered("documents", _numbers(each))
        assert all(document == documents[0] for document in documents)


def the_environment_counts_the_processes():
    with alone():
        assert environment(torch.device("cpu")).world_size == int(os.environ["WORLD_SIZE"])


LAWS = (
    values_arrive_in_the_order_of_the_ranks,
    tasks_are_spread_and_their_results_keep_the_order,
    tasks_with_costs_are_divided_evenly,
    an_error_of_one_task_is_raised_everywhere,
    a_difference_is_found_everywhere,
    processes_that_part_ways_are_told_apart,
    a_request_to_one_process_stops_all_at_one_exchange,
    what_a_task_found_before_it_was_stopped_is_kept,
    pricing_finds_the_same_pairs_and_bounds,
    column_generation_finds_the_same_plan,
    blocks_find_the_same_coupling,
    potentials_of_shards_are_those_of_one_process,
    an_estimate_is_the_same_document,
    folds_are_divided_and_make_the_same_document_and_proof,
    a_critic_is_fitted_again_by_one_process_and_makes_the_same_document_and_proof,
    folds_that_are_fewer_than_processes_divide_their_minibatches,
    critics_and_seeds_are_divided_and_make_the_same_document,
    candidates_and_baselines_are_divided_and_make_the_same_document,
    a_length_of_time_is_used_by_all,
    a_comparison_is_the_same_document,
    a_study_yields_its_rows_in_order,
    steps_on_slices_are_steps_on_the_whole_minibatch,
    weights_that_rounding_made_differ_are_those_of_the_first_process_again,
    weights_that_differ_by_more_are_an_error_everywhere,
    a_training_on_slices_is_one_training,
    the_environment_counts_the_processes,
)


def main():
    failed = {}
    with Job().joined(versions="the same", command=["laws"]):
        for law in LAWS:
            try:
                law()
            except Exception:
                failed[law.__name__] = traceback.format_exc()
        found = processes().gathered("results", failed)
        if processes().rank == 0:
            Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
