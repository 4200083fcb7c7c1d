"""The ladders: known truths, honest counting, and twins that are left alone."""

from dataclasses import replace

import pytest
import torch

from tests.comparisons import made_comparison, made_entry
from wdist.data.sources.source import random_stream
from wdist.studies.bench import ladder as module
from wdist.studies.bench.ladder import (
    CONFIDENCE,
    MMD,
    STUDY,
    LadderRow,
    LevelRow,
    OverheadRow,
    RungRow,
    TwinRow,
    conclude,
    rows_of,
)
from wdist.studies.bench.ladder_sources import digit_generator, digit_ladders, normal_ladders, wide_ladders
from wdist.studies.bench.relative_mmd import relative_mmd
from wdist.studies.error_rate import most_by_chance
from wdist.studies.study import Conditions, Skipped


def test_a_ladder_of_shifted_normals_is_climbed_in_its_order():
    found = list(rows_of(normal_ladders()[0], 200, runs=2))
    (row,) = (each for each in found if isinstance(each, LadderRow))
    assert (row.runs, row.rungs, row.right, row.samples_right, row.wrong) == (2, 4, 2, 2, 0)
    assert 0 < row.share_claimed <= 1
    rungs = [each for each in found if isinstance(each, RungRow)]
    assert [rung.truth for rung in rungs] == [0.3, 1, 2, 3.5]
    for rung in rungs[1:]:
        assert rung.lower < rung.truth < rung.upper
        assert rung.estimate == pytest.approx(rung.truth, abs=0.6)
    assert len(conclude(found).panels) == 1


def test_shifts_are_the_distances():
    reference, *rungs = (normal_ladders()[0].reference, *normal_ladders()[0].rungs)
    for rung, truth in zip(rungs, normal_ladders()[0].truths, strict=True):
        drawn = [draw(50_000, random_stream(0, side, 0)).mean(0) for side, draw in enumerate((reference, rung))]
        assert float((drawn[1] - drawn[0]).norm()) == pytest.approx(truth, abs=0.03)


@pytest.fixture
def climbed(monkeypatch):
    """Comparisons made by hand, one after the other."""

    def becomes(*comparisons):
        waiting = list(comparisons)
        monkeypatch.setattr(module, "_compared", lambda *_, **__: waiting.pop(0))

    return becomes


def rungs(first, second, samples=((0.5, 0.5), (0.6, 0.6))):
    return made_comparison(made_entry("1: 0", first, samples[0]), made_entry("2: 1", second, samples[1]))


def test_right_claimed_and_wrong_are_counted_apart(climbed):
    two = replace(normal_ladders()[0], labels=("0", "1"), truths=(0.0, 1.0))
    climbed(
        rungs((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)),  # right and claimed
        rungs((0.1, 0.2, 0.9), (0.4, 0.5, 0.6)),  # right and not claimed
        rungs((0.7, 0.8, 0.9), (0.4, 0.5, 0.6), ((0.6, 0.6), (0.5, 0.5))),  # wrong and claimed
        rungs((0.1, 0.6, 0.9), (0.4, 0.5, None)),  # wrong and not claimed
    )
    level, row, first, second = rows_of(two, 10, runs=4)
    assert (level.level, level.neighbours, level.pairs, level.wrong) == ("population", 1, 4, 1)
    assert (row.right, row.claimed, row.wrong, row.samples_right) == (2, 2, 1, 3)
    assert row.share_claimed == 0.5
    assert (first.rung, first.estimate, second.upper) == ("0", pytest.approx((0.2 + 0.2 + 0.8 + 0.6) / 4), None)


def test_twins_are_right_where_no_order_is_claimed(climbed):
    twins = normal_ladders()[1]
    climbed(rungs((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)), rungs((0.1, 0.2, 0.5), (0.4, 0.5, 0.6)))
    level, row = rows_of(twins, 10, runs=2)
    assert isinstance(row, TwinRow)
    assert (level.share, level.wrong) == (None, 1)
    assert (row.not_separable, row.share) == (1, 0.5)


def test_more_wrong_claims_than_chance_allows_are_found_out():
    good = LadderRow(ladder="l", samples=9, rungs=3, runs=50, right=50, samples_right=50, claimed=99, wrong=0)
    twin = TwinRow(ladder="t", samples=9, runs=50, not_separable=50)
    assert all(check.holds for check in conclude([good, twin]).checks)
    assert OverheadRow(sources=4, together=10.5, apart=10.0).overhead == pytest.approx(0.05)
    most = most_by_chance(50, 1 - CONFIDENCE)
    assert 2 < most < 12
    level = LevelRow(ladder="l", level="detected", samples=9, runs=50, neighbours=9, pairs=99, wrong=most)
    assert all(check.holds for check in conclude([level, replace(level, level=MMD, wrong=50)]).checks)
    for row in (replace(good, wrong=most + 1), replace(twin, not_separable=49 - most), replace(level, wrong=most + 1)):
        assert not all(check.holds for check in conclude([row]).checks)


def test_the_generator_of_the_samples_is_drawn_from_without_its_code(samples):
    images = digit_generator(samples / "digit_generator.safetensors")(40, torch.Generator().manual_seed(0))
    assert images.shape == (40, 8, 8)
    assert 0 <= float(images.min()) < 0.05 < 0.9 < float(images.max()) <= 1


def test_the_generator_is_that_of_its_module(samples):
    from wdist.data.access import Access
    from wdist.data.sources.opening import open_source

    address = f"{samples}/digit_generator.safetensors?factory={samples}/digit_generator.py:DigitGenerator&latent=normal:16"
    drawn = open_source(address, Access(trust=True)).draw(8, torch.Generator().manual_seed(1)).reshape(8, 8, 8)
    ours = digit_generator(samples / "digit_generator.safetensors")(8, torch.Generator().manual_seed(1))
    assert torch.allclose(drawn.float(), ours, atol=1e-6)


def test_without_data_the_digits_are_skipped_with_the_reason(monkeypatch):
    monkeypatch.setattr(module, "normal_ladders", lambda: ())
    monkeypatch.setattr(module, "wide_ladders", lambda: ())
    rows = list(STUDY.measure(Conditions(only=("digit",))))
    assert len(rows) == 4
    assert all(isinstance(row, Skipped) and "data" in row.reason for row in rows)
    assert list(STUDY.measure(Conditions(quick=True, only=("digit",)))) == []


def test_the_digit_ladders_are_climbed_by_c_transforms_and_by_networks(samples):
    ladders = list(digit_ladders(samples))
    assert [(ladder.critic, ladder.twins) for ladder in ladders] == [
        *(("c-transform", False), ("c-transform", True)),
        *(("groupsort-bjorck", False), ("groupsort-bjorck", True)),
    ]
    images = [draw(200, torch.Generator().manual_seed(0)) for draw in ladders[0].rungs]
    distances = [float((each - images[0]).flatten(1).norm(dim=1).mean()) for each in images]
    assert distances == sorted(distances)
    assert distances[0] == 0 < distances[1]
    networks = replace(ladders[2], rungs=ladders[2].rungs[::4], labels=("0", "0.4"), steps=20)
    levels = [row for row in rows_of(networks, 200, runs=1) if isinstance(row, LevelRow)]
    assert [row.wrong for row in levels] == [0, 0, 0]


def test_names_choose_ladders(monkeypatch):
    monkeypatch.setattr(module, "_RUNS", 1)
    monkeypatch.setattr(module, "_QUICK_SAMPLES", 60)
    rows = [row for row in STUDY.measure(Conditions(quick=True, only=("one normal",))) if isinstance(row, TwinRow)]
    assert [(row.ladder, row.runs, row.samples) for row in rows] == [("one normal twice", 1, 60)]


def test_in_many_dimensions_the_tests_stand_beside_the_relative_mmd_test():
    ladder = replace(wide_ladders()[0], rungs=wide_ladders()[0].rungs[::3], labels=("0", "1"), truths=(0.0, 1.0))
    rows = list(rows_of(ladder, 400, runs=1))
    assert [(row.level, row.runs, row.pairs, row.wrong) for row in rows] == [
        (level, 1, 1, 0) for level in ("detected", "block", MMD)
    ]
    assert rows[0].neighbours == rows[2].neighbours == 1


def test_shifts_in_many_dimensions_are_the_distances():
    for ladder in wide_ladders():
        drawn = [
            draw(20_000, random_stream(0, side, 0)).median(0).values for side, draw in enumerate((ladder.reference, *ladder.rungs))
        ]
        for rung, truth in zip(drawn[1:], ladder.truths or (), strict=not ladder.twins):
            apart = rung - drawn[0]
            along_axis, along_diagonal = float(apart[0]), float(apart.sum()) / 8
            assert max(along_axis, along_diagonal) == pytest.approx(truth, abs=0.05)


def test_the_relative_mmd_test_errs_as_often_as_it_says():
    random = torch.Generator().manual_seed(0)

    def drawn(shift=0.0):
        return torch.randn(80, 3, generator=random, dtype=torch.float64) + shift

    tests = [relative_mmd(drawn(), {"one": drawn(0.3), "other": drawn(0.3)})[0].p_value for _ in range(200)]
    assert sum(p_value <= 0.1 for p_value in tests) <= most_by_chance(200, 0.1)
    (found,) = relative_mmd(drawn(), {"far": drawn(2.0), "near": drawn(0.2)})
    assert (found.nearer, found.farther) == ("near", "far")
    assert found.p_value < 1e-6
