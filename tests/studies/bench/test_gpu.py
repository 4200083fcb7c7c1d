"""The suite about a GPU, with tiny sizes: on the CPU, and on a GPU that is only pretended. No test looks at a clock."""

from dataclasses import replace

import pytest
import torch

from tests.pretended_gpu import pretended_gpu
from wdist.errors import DeviceError
from wdist.studies.bench import gpu
from wdist.studies.bench.gpu import AgreementRow, GpuStepRow, Sizes, WorkRow, conclude, measured
from wdist.studies.bench.schemes import Shape
from wdist.studies.catalogue import find_study
from wdist.studies.study import Conditions, Skipped

TINY = Sizes(
    shapes=((Shape(inputs=6, width=8, depth=3, group_size=4), 16),),
    block_seconds=1e-4,
    evaluated=40,
    priced=(50, 3),
    images=(2, 32),
    steps=3,
)
CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)


def found_on(device):
    rows = list(measured(Conditions(), device, TINY))
    return rows, conclude(rows)


def of(kind, rows):
    return [row for row in rows if isinstance(row, kind)]


def test_the_cpu_compared_with_itself_agrees_and_says_so():
    rows, conclusion = found_on(CPU)
    assert len(of(AgreementRow, rows)) == 6
    assert all(row.agrees for row in of(AgreementRow, rows))
    assert all(row.on_cpu != 0 for row in of(AgreementRow, rows) if "difference" not in row.name)
    assert [row.unit for row in of(WorkRow, rows)] == ["samples", "pairs", "images", "trainings"]
    assert all(row.memory is None for row in rows if not isinstance(row, AgreementRow))
    assert [(check.holds) for check in conclusion.checks] == [True, True]
    assert conclusion.remarks[0] == "Both sides are the CPU."


def test_every_row_is_measured_on_a_gpu(monkeypatch):
    monkeypatch.setattr(gpu, "captured", lambda work: work)
    with pretended_gpu():
        rows, conclusion = found_on(GPU)
    assert of(Skipped, rows) == []
    assert all(row.agrees for row in of(AgreementRow, rows))
    steps = of(GpuStepRow, rows)
    assert {(row.precision, row.how) for row in steps} == {
        (gpu.TF32, gpu.TRAINING),
        *((precision, how) for precision in (gpu.FLOAT32, gpu.TF32, gpu.BFLOAT16) for how in (gpu.EAGER, gpu.CAPTURED)),
    }
    assert all(1 <= row.lipschitz_bound < 1 + 1e-9 for row in steps)
    assert {row.memory for row in steps} == {1.0}
    assert len(conclusion.checks) == 4


def test_a_row_that_fails_on_the_device_is_skipped_with_its_reason(monkeypatch):
    def fails(*given):
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(gpu, "product_rate", fails)
    rows = list(measured(Conditions(only=("steps",)), CPU, TINY))
    assert {row.reason for row in rows} == {"no kernel image"}


def test_a_difference_beyond_what_is_allowed_is_reported():
    row = AgreementRow(name="proved bound", on_cpu=1.0, on_device=1.1, apart=0.1, allowed=1e-9)
    assert [check.holds for check in conclude([row]).checks] == [False]
    assert not replace(row, apart=float("nan")).agrees


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_a_sentence_names_the_way_out():
    with pytest.raises(DeviceError, match='device="cpu" compares the CPU with itself'):
        find_study("bench", "gpu").run(Conditions())


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_a_captured_graph_takes_the_same_steps():
    rows = list(measured(Conditions(only=("steps",)), GPU, TINY))
    assert of(Skipped, rows) == []
