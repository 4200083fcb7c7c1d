"""The suite of several processes: one process and two find the same, and claims can fail; times are not tested."""

from dataclasses import replace

import pytest

from wdist.distributed.processes import ProcessesError
from wdist.studies.bench.distributed import (
    CASES,
    QUICK_CASES,
    AgreementRow,
    Case,
    ScalingRow,
    StepScalingRow,
    by_job,
    conclude,
    rows_of,
)

TINY = (
    Case(name="step", work="step", n=64, dim=3, width=16, rounds=1, seconds=0.0),
    Case(name="blocks", work="blocks", n=200, dim=2, rounds=3, seconds=0.0),
    Case(name="same", work="agreement", n=9000, dim=2, width=64, steps=2),
)


@pytest.fixture(scope="module")
def rows():
    """Rows of a job whose last case is an error."""
    found = []
    with pytest.raises(ProcessesError, match=r"the job of 2 processes ended too soon .*KeyError: 'nothing'"):
        found.extend(by_job([*TINY, replace(TINY[0], work="nothing")]))
    return found


def test_two_processes_find_what_one_finds(rows):
    numbers = [row for row in rows if isinstance(row, AgreementRow)]
    assert len(numbers) == 9
    assert all(row.agrees for row in numbers)
    assert [row.rounding is None for row in numbers] == [False] * 8 + [True]
    assert numbers[-1].two == pytest.approx(numbers[-1].one, rel=1e-3)
    assert numbers[-1].difference > 0  # minibatches were divided: their sums are rounded differently


def test_each_measurement_has_its_rounds_and_bytes(rows):
    step, blocks = rows[:2]
    assert isinstance(step, StepScalingRow)
    weights = 3 * 16 + 2 * 16 * 16 + 16 + 3 * 16 + 1
    assert (step.width, step.batch, step.sent) == (16, 64, 4 * weights + 4)
    assert len(step.speed_ups) == 1
    assert step.spread is None
    assert type(blocks) is ScalingRow
    assert len(blocks.speed_ups) == 3
    assert blocks.spread >= 0


@pytest.mark.parametrize("work", ["sources", "pricing", "evaluation"])
def test_work_is_done_by_one_process_as_well(work):
    (row,) = rows_of(Case(name=work, work=work, n=200, dim=2, width=16, steps=2, rounds=2, seconds=0.0))
    assert row.name == work
    assert len(row.speed_ups) == 2


def test_slow_or_different_processes_are_told():
    fast = ScalingRow(name="blocks", one=2.0, two=1.0, speed_up=2.0, speed_ups=(1.9, 2.1))
    step = StepScalingRow(name="step", one=1.7, two=1.0, speed_up=1.7, speed_ups=(1.7, 1.7), width=256, batch=16_384, sent=4)
    same = AgreementRow(name="a bound", one=1.0, two=1.0, rounding=0.0)
    found = conclude([step, replace(step, batch=4096, speed_up=1.0), fast, same])
    assert [check.holds for check in found.checks] == [True] * 3
    assert len(found.panels) == 2
    slow = conclude([replace(step, speed_up=1.5), fast, replace(fast, speed_up=1.7), replace(same, two=1 + 1e-9)])
    assert [check.holds for check in slow.checks] == [False] * 3


def test_the_quick_form_has_every_kind_of_row():
    assert {case.work for case in QUICK_CASES} < {case.work for case in CASES}
    assert {"step", "blocks", "agreement"} <= {case.work for case in QUICK_CASES}
