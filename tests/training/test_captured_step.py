"""A captured step is the same step: what surrounds the capture, on a CPU, where a recording is the work itself."""

import pytest
import torch

from wdist.critics.groupsort_bjorck import RECIPE
from wdist.critics.settings import CriticSettings
from wdist.training.captured_step import CapturedStep, cuda_graph, training_step
from wdist.training.optimizers import make_optimizers
from wdist.training.step import TrainingStep

SMALL = CriticSettings(width=16, depth=3, group_size=4)


def batches(count, generator, n=32):
    x = torch.randn(count, 2, n, 5, generator=generator)
    return [(a, 0.5 * b + 0.3) for a, b in x]


def trained(kind, optimizer, minibatches, device="cpu", **options):
    critic = RECIPE.build(5, SMALL, torch.Generator().manual_seed(0)).to(device)
    step = kind(critic, make_optimizers(critic, name=optimizer, learning_rate=0.01), **options)
    duals = [
        float(step(a.to(device), b.to(device), factor=1 - position / len(minibatches)))
        for position, (a, b) in enumerate(minibatches)
    ]
    return duals, [parameter.detach().cpu() for parameter in critic.parameters()]


class Recorder:
    """Keeps count of recordings and replays."""

    def __init__(self):
        self.recorded, self.replayed = 0, 0

    def __call__(self, work):
        self.recorded += 1

        def replay():
            self.replayed += 1
            return work()

        return replay


@pytest.mark.parametrize("optimizer", ["muon", "orthogonal-sgd", "adam", "aggmo"])
def test_it_trains_as_the_plain_step_does(optimizer, generator):
    minibatches = batches(24, generator)
    plain = trained(TrainingStep, optimizer, minibatches)
    captured = trained(CapturedStep, optimizer, minibatches, record=Recorder())
    assert captured[0] == pytest.approx(plain[0], rel=1e-4, abs=1e-5)
    torch.testing.assert_close(captured[1], plain[1], rtol=1e-3, atol=1e-5)


def test_step_and_return_are_recorded_once_and_replayed(generator):
    recorder = Recorder()
    trained(CapturedStep, "adam", batches(24, generator), record=recorder)
    assert recorder.recorded == 2
    assert recorder.replayed > 21


def test_a_minibatch_of_another_size_is_stepped_without_the_recording(generator):
    recorder = Recorder()
    minibatches = [*batches(6, generator), *batches(1, generator, n=7), *batches(2, generator)]
    duals, _ = trained(CapturedStep, "adam", minibatches, record=recorder)
    assert duals == pytest.approx(trained(TrainingStep, "adam", minibatches)[0], rel=1e-4, abs=1e-5)


def test_what_cannot_be_recorded_is_done_launch_by_launch(generator):
    def refuse(work):
        raise RuntimeError("operation not permitted when stream is capturing")

    minibatches = batches(12, generator)
    captured = trained(CapturedStep, "muon", minibatches, record=refuse)
    assert captured[0] == pytest.approx(trained(TrainingStep, "muon", minibatches)[0], rel=1e-4, abs=1e-5)


def test_rough_products_end_with_the_step(generator):
    before = torch.get_float32_matmul_precision()
    seen = set()

    def record(work):
        seen.add(torch.get_float32_matmul_precision())
        return work

    trained(CapturedStep, "adam", batches(12, generator), record=record)
    assert seen == {"high"}
    assert torch.get_float32_matmul_precision() == before


def test_on_a_cpu_steps_are_plain():
    critic = RECIPE.build(5, SMALL, torch.Generator().manual_seed(0))
    assert type(training_step(critic, make_optimizers(critic, name="adam", learning_rate=0.01))) is TrainingStep


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["muon", "adam"])
def test_a_graph_trains_as_single_launches_do(optimizer, generator):
    minibatches = batches(24, generator)
    plain = trained(TrainingStep, optimizer, minibatches, "cuda")
    captured = trained(CapturedStep, optimizer, minibatches, "cuda", record=cuda_graph)
    assert captured[0] == pytest.approx(plain[0], rel=1e-3, abs=1e-4)
