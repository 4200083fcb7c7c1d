"""The speed study: every scheme trains to something certified, and rows follow from what was timed. No test looks at a clock."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from wdist.bounds.certificate import certify
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial, orthonormality_defect
from wdist.studies.bench import speed_costs
from wdist.studies.bench.schemes import SCHEMES, Landing, Shape
from wdist.studies.bench.speed import (
    CASES,
    STUDY,
    SideBySideRow,
    StepCase,
    StepRow,
    conclude,
    time_side_by_side,
    time_steps,
)
from wdist.studies.bench.speed_costs import CostRow, measure_costs
from wdist.studies.bench.speed_races import RACES, Race, RaceRow, Samples, run_race
from wdist.studies.machine import peak_bytes
from wdist.studies.study import Conditions, Skipped

SHAPE = Shape(inputs=6, width=8, depth=3, group_size=4)
AT_HAND = [name for name, each in SCHEMES.items() if each.missing is None and each.needs is None]
PLAIN = Standardisation(shift=torch.zeros(6, dtype=torch.float64), spread=1.0)


def two_sides(n=64):
    x = torch.randn(2, n, 6, generator=torch.Generator().manual_seed(0))
    return x[0], 0.4 * x[1] + 0.3


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_raises_a_certified_dual_value(name):
    if SCHEMES[name].missing is not None:
        pytest.skip("its package is not installed")
    a, b = two_sides()
    training = SCHEMES[name].start(SHAPE, seed=0)

    def certified():
        training.critic.eval()
        training.critic.constrain_(tightly=True)
        frozen = training.critic.freeze(PLAIN)
        training.critic.train()
        return float(frozen.potentials(a).mean() - frozen.potentials(b).mean()) / certify(frozen).lipschitz_bound

    before = certified()
    for step in range(40):
        training.step(a, b, step / 40)
    assert certified() > before


@pytest.mark.parametrize("shape", [(6, 6), (4, 9), (9, 4)], ids=str)
def test_landing_stays_near_the_manifold_without_retraction(shape, generator):
    W = torch.nn.Parameter(orthonormal_initial(*shape, generator))
    optimizer = Landing([W], lr=0.05)
    for _ in range(200):
        W.grad = 0.1 * torch.randn(*shape, generator=generator)
        optimizer.step()
    assert float(orthonormality_defect(W.detach())) < 0.3


def test_operations_are_those_of_the_products_that_cannot_be_avoided():
    """Forward and weights for every layer, inputs for all but the first."""
    assert Shape(inputs=784, width=720, depth=3, group_size=9).operations(10) == 20 * (2 * 784 * 720 + 3 * 720 * 720 + 3 * 720)


def test_a_package_that_is_not_installed_is_named_with_the_way_out():
    absent = replace(SCHEMES["pogo"], needs="surely.not.installed")
    assert absent.missing is not None
    assert absent.missing.startswith("POGO is left out")
    assert absent.missing.endswith("pip install pogo-torch")


def test_every_timed_scheme_has_a_row_and_the_floor_is_one():
    case = StepCase(shape=SHAPE, batch=8)
    rows = list(time_steps(case, AT_HAND, seeds=(0, 1), rounds=2))
    assert [row.scheme for row in rows] == AT_HAND
    for row in rows:
        assert len(row.ratios) == 2
        assert row.milliseconds > 0 < row.rate_share
        assert row.spread == pytest.approx(abs(row.ratios[0] - row.ratios[1]) / 2)
    assert rows[0].ratio == rows[0].own_ratio == 1.0


def test_a_scheme_that_diverges_has_no_row(monkeypatch):
    monkeypatch.setitem(SCHEMES, "adam", replace(SCHEMES["adam"], learning_rate=math.inf))
    rows = list(time_steps(StepCase(shape=SHAPE, batch=8), ["floor", "adam"], seeds=(0,), rounds=1))
    assert isinstance(rows[1], Skipped)
    assert "diverged" in rows[1].reason


def test_critics_side_by_side_are_timed_against_the_same_ones_in_turn():
    row = time_side_by_side(StepCase(shape=SHAPE, batch=8), seeds=(0, 1), rounds=1)
    assert (row.critics, len(row.ratios)) == (4, 2)
    assert row.ratio > 0 < row.milliseconds
    assert row.spread == pytest.approx(abs(row.ratios[0] - row.ratios[1]) / 2)


def race(**changes):
    def samples(seed, data):
        a, b = (side.double() for side in two_sides(200))
        return Samples(train=(a[:100], b[:100]), held_out=(a[100:], b[100:]))

    return Race(**{"name": "two Gaussians", "samples": samples, "shape": SHAPE, "batch": 16, "steps": 12, **changes})


def test_a_race_ends_at_the_bound_of_the_papers_scheme_or_says_that_it_did_not():
    paper, muon = run_race(race(), ["muon"], seeds=(0,), data=None)
    assert (paper.scheme, paper.sooner, paper.steps) == ("paper", 1.0, 12)
    assert paper.bound == paper.target == muon.target > 0
    assert (muon.seconds is None) == (muon.bound < muon.target)


def test_the_suite_is_made_of_rows_that_its_tables_know():
    assert len({str(case) for case in CASES}) >= 16
    assert all(case.schemes[0] == "floor" for case in CASES)
    assert all(each in SCHEMES for case in CASES for each in case.schemes)
    assert {table.of for table in STUDY.tables} == {StepRow, SideBySideRow, RaceRow, CostRow}
    assert [each.name for each in RACES if each.needs_data] == ["MNIST 3 v 8"]


def test_a_race_without_its_data_is_skipped_with_the_way_out():
    result = STUDY.run(Conditions(only=("MNIST",)))
    assert result.rows == ()
    assert "data" in result.skipped[0].reason


def test_what_fails_is_left_out_and_the_rest_goes_on(monkeypatch):
    def failing(arguments, **options):
        raise subprocess.CalledProcessError(70, list(arguments))

    monkeypatch.setattr(subprocess, "run", failing)
    rows = list(measure_costs(Conditions(quick=True, only=("help", "start"))))
    assert [type(row) for row in rows] == [Skipped, Skipped]


def step_row(scheme, batch, ratio):
    case = {"case": "", "shape": "784-720-720-1", "group": "9", "batch": batch, "precision": "float32"}
    names = {"scheme": scheme, "title": SCHEMES[scheme].title}
    return StepRow(**case, **names, milliseconds=10 * ratio, ratio=ratio, ratios=(ratio,), own_ratio=ratio, rate_share=0.5)


def race_row(scheme, sooner):
    names = {"pair": "p", "shape": "", "batch": 64, "scheme": scheme, "title": SCHEMES[scheme].title}
    seconds = None if sooner is None else 10 / sooner
    return RaceRow(**names, bound=0.9, target=0.9, steps=10, seconds=seconds, sooner=sooner, spread=None)


def test_the_picture_shows_steps_over_the_floor_and_races_over_the_papers_scheme():
    steps = [
        step_row(name, batch, ratio) for name, ratio in (("floor", 1.0), ("adam", 2.2), ("paper", 400.0)) for batch in (64, 512)
    ]
    races = [race_row("paper", 1.0), race_row("muon", 50.0), race_row("torchlip", None)]
    step, race = conclude([*steps, *races]).panels
    assert [(series.name, series.x, series.reference) for series in step.series] == [
        ("wdist, Adam", (64.0, 512.0), False),
        (SCHEMES["paper"].title, (64.0, 512.0), True),
    ]
    assert [(series.name, series.y) for series in race.series] == [("wdist, Muon", (50.0,))]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_steps_are_timed_on_a_gpu():
    rows = list(
        time_steps(StepCase(shape=SHAPE, batch=8), ["floor", "adam", "muon"], seeds=(0,), rounds=2, device=torch.device("cuda"))
    )
    assert {row.precision for row in rows} == {"TF32"}
    assert all(row.ratio > 0 < row.rate_share for row in rows)


@pytest.mark.skipif(sys.platform != "linux", reason="only there a peak can be forgotten")
def test_a_peak_that_is_forgotten_is_that_of_what_follows():
    held = np.ones(1 << 25)
    speed_costs._reset_peak()
    del held
    before = peak_bytes()
    speed_costs._reset_peak()
    assert peak_bytes() < before - (1 << 27)
    more = np.ones(1 << 24)
    assert peak_bytes() > before - (1 << 28) + more.nbytes // 2


def test_the_start_is_timed_up_to_the_first_gradient_of_the_default_critic(monkeypatch):
    """Without what serves only the figures."""
    script = speed_costs._FIRST_GRADIENT.replace("os._exit(0)", "import sys; os._exit('matplotlib' in sys.modules)")
    monkeypatch.setattr(speed_costs, "_FIRST_GRADIENT", script)
    monkeypatch.setattr(speed_costs, "_REPETITIONS", 1)
    assert min(speed_costs._first_gradient_seconds()) > 0


@pytest.mark.skipif(sys.platform == "win32", reason="there is no pseudo-terminal")
def test_the_display_is_timed_on_a_terminal(monkeypatch):
    monkeypatch.setattr(speed_costs, "_DISPLAYED", "0.5s")
    assert 0 < speed_costs._display_share(0) < 1


def test_default_runs_are_timed_by_the_clock(monkeypatch):
    """As a user has them: whole commands, with all threads, and nothing but the seed set."""
    commands = []

    def recorded(arguments, *, env, **options):
        commands.append((arguments[3:], "OMP_NUM_THREADS" in env, [Path(each).exists() for each in arguments if "npy" in each]))

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(speed_costs, "_LARGE", (300, 4))
    monkeypatch.setattr(subprocess, "run", recorded)
    rows = list(measure_costs(Conditions(seeds=(0, 7), only=("run --sphere", "run large"))))
    assert [(row.unit, len(row.values)) for row in rows] == [("s", 2), ("s", 2)]
    assert [command[:1] + command[-3:] for command, *_ in commands] == [
        [name, "--seed", seed, "--quiet"] for name in ("synthetic", "estimate") for seed in ("0", "7")
    ]
    assert not any(limited for _, limited, _ in commands)
    assert commands[-1][2] == [True, True]


def test_a_timed_command_runs(monkeypatch):
    command = ["synthetic", "--gaussians", "--steps", "1", "--baselines", "none"]
    assert speed_costs._run_seconds(command, (0,))[0] > 0
