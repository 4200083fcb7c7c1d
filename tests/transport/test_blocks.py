"""Couplings made of blocks: exact marginals, costs that fall from round to round and never fall below W1."""

import random
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
import torch

from tests.transport.rows import rows
from tests.trials import exact_w1
from wdist.checkpoints import folder
from wdist.checkpoints.folder import kept
from wdist.ground_metric import L2
from wdist.transport import blocks
from wdist.transport.blocks import Work, _members, _units, affordable_work, block_coupling, couple, tree_seconds
from wdist.transport.coupling import Effort, Sides, computed_cost, cost_above

KINDS = ("plane", "many dimensions", "ties", "clusters")


def sides(kind, counts, seed=0):
    numbers = np.random.default_rng(seed)
    dim = 12 if kind == "many dimensions" else 2
    x, y = (numbers.normal(size=(n, dim)) + shift for n, shift in zip(counts, (0, 1), strict=True))
    if kind == "ties":
        x, y = x.round(), y.round()
    if kind == "clusters":
        x, y = (
            np.array([[0.0, 0.0], [9.0, 9.0]])[numbers.integers(0, 2, n)] + 1e-6 * side
            for n, side in zip(counts, (x, y), strict=True)
        )
    return x, y


def plan_of(x, y, *, size, rounds, seed=0):
    x, y = torch.from_numpy(x), torch.from_numpy(y)
    units = np.full(len(x), len(y)), np.full(len(y), len(x))
    return couple(x, y, *units, Work(parts=1, size=size, rounds=rounds), random=np.random.default_rng(seed), metric=L2)


@pytest.mark.parametrize("counts", [(120, 120), (100, 161), (37, 400), (130, 55), (1, 70)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rounds", [0, 4])
def test_marginals_are_met_and_the_cost_is_not_below_w1(counts, kind, rounds):
    x, y = sides(kind, counts)
    plan = plan_of(x, y, size=30, rounds=rounds)
    assert (plan.mass > 0).all()
    for places, n in ((plan.rows, counts[0]), (plan.columns, counts[1])):
        assert np.bincount(places, plan.mass, n) == pytest.approx(np.full(n, 1 / n), abs=1e-14)
    cost = cost_above(*map(torch.from_numpy, (x, y)), *(np.full(n, 1 / n) for n in counts), plan, L2)
    assert cost >= exact_w1(x, y) * (1 - 1e-12)


@pytest.mark.parametrize("counts", [(240, 240), (200, 311)], ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_every_round_costs_no_more_than_the_one_before(counts, kind):
    x, y = sides(kind, counts)
    costs = [computed_cost(*map(torch.from_numpy, (x, y)), plan_of(x, y, size=40, rounds=rounds), L2) for rounds in range(7)]
    assert all(later <= earlier * (1 + 1e-9) + 1e-12 for earlier, later in pairwise(costs))


@pytest.mark.parametrize("kind", ["plane", "many dimensions"])
def test_it_approaches_the_optimum_while_random_blocks_do_not(kind):
    counts = (600, 500)
    x, y = sides(kind, counts)
    random = np.random.default_rng(0)
    orders = (np.array_split(random.permutation(n), 10) for n in counts)
    at_random = np.mean([exact_w1(x[rows], y[columns]) for rows, columns in zip(*orders, strict=True)])
    truth = exact_w1(x, y)
    found = computed_cost(*map(torch.from_numpy, (x, y)), plan_of(x, y, size=60, rounds=12), L2)
    assert truth * (1 - 1e-12) <= found < 1.06 * truth
    assert found - truth < (at_random - truth) / 3


def test_one_block_of_everything_is_optimal():
    x, y = sides("plane", (90, 70))
    plan = plan_of(x, y, size=160, rounds=1)
    assert computed_cost(*map(torch.from_numpy, (x, y)), plan, L2) == pytest.approx(exact_w1(x, y), rel=1e-9)


@pytest.mark.parametrize("nbytes", [1 << 30, 1 << 18])
@pytest.mark.parametrize("counts", [(5000, 5000), (4500, 6001)], ids=str)
def test_samples_that_do_not_fit_into_memory_are_divided_first(nbytes, counts):
    x, y = sides("plane", counts)
    found = block_coupling(Sides(a=rows(x), b=rows(y)), effort=Effort(seconds=0.5, nbytes=nbytes), seed=0)
    work = affordable_work(*counts, 2, Effort(seconds=0.5, nbytes=nbytes))
    assert (work.parts > 1) == (nbytes == 1 << 18)
    assert not found.exact
    assert 0.995 * 2**0.5 < found.cost < 1.25 * 2**0.5  # W1 of the populations is the shift


def test_the_cost_is_the_same_if_the_plan_is_not_kept():
    x, y = (rows(side) for side in sides("plane", (4500, 6001)))
    kept, cost_only = (
        block_coupling(Sides(a=x, b=y), effort=Effort(seconds=0.5, nbytes=1 << 18, keep_plan=keep), seed=0)
        for keep in (True, False)
    )
    assert kept.plan is not None
    assert (cost_only.cost, cost_only.plan) == (kept.cost, None)


def test_counts_whose_product_no_integer_holds_are_not_coupled():
    assert affordable_work(1 << 32, 1 << 31, 1, Effort(seconds=1e9)) is None


def test_a_short_tree_is_better_than_no_bound():
    """Its cost lies between that of all levels and of none."""
    n, dim = 10**6, 64
    in_time = Effort(seconds=7.5, most_seconds=7.5, short_tree=True)
    assert affordable_work(n, n, dim, replace(in_time, short_tree=False)) is None
    work = affordable_work(n, n, dim, in_time)
    assert 0 < work.levels < 18
    assert work.rounds == 0
    assert tree_seconds(n, n, dim, levels=work.levels) <= 7.5 < tree_seconds(n, n, dim, levels=work.levels + 1)
    assert affordable_work(n, n, dim, replace(in_time, most_seconds=0.1)) is None, "not even one level"
    x, y = sides("plane", (900, 1300))
    costs = []
    for levels in (None, 4, 1):
        found = block_coupling(
            Sides(a=rows(x), b=rows(y)),
            effort=Effort(),
            seed=0,
            work=Work(parts=1, size=50, rounds=0, levels=levels),
        )
        costs.append(found.cost)
        assert ("4 levels" in found.method) == (levels == 4)
    assert exact_w1(x, y) <= costs[0] < costs[1] < costs[2]


def test_a_long_budget_allows_a_tree_that_takes_long():
    n, dim = 2 * 10**8, 64
    assert affordable_work(n, n, dim, Effort(seconds=20.0)) is None
    assert affordable_work(n, n, dim, Effort(seconds=20.0, most_seconds=86_400.0)) is not None


@dataclass
class Streamed:
    """Streamed rows that remember the most rows requested at once."""

    values: torch.Tensor
    most: int = 0

    @property
    def count(self):
        return len(self.values)

    def batches(self, size):
        for start in range(0, self.count, size):
            yield self.span(start, min(start + size, self.count), None)

    def span(self, start, stop, order):
        self.most = max(self.most, stop - start)
        return self.values[start:stop]


def test_streamed_rows_are_never_all_in_memory():
    a, b = (Streamed(torch.from_numpy(side)) for side in sides("plane", (9000, 12_000)))
    effort = Effort(seconds=1.0, nbytes=1 << 18)
    assert block_coupling(Sides(a=a, b=b), effort=effort, seed=0).cost < 1.3 * 2**0.5
    parts = affordable_work(9000, 12_000, 2, effort).parts
    assert parts > 2
    assert max(a.most / 9000, b.most / 12_000) < 1 / parts + 0.01


@pytest.mark.parametrize("n", [1, 2, 5, 17, 100, 101])
@pytest.mark.parametrize("parts", [1, 2, 3, 7, 16])
def test_units_of_parts_add_up_to_the_marginals(n, parts):
    """Each part holds n units, and each sample has the same number of units over all parts."""
    total = [Fraction(0)] * n
    for k in range(parts):
        first, end = _members(n, k, parts)
        units = _units(n, k, parts)
        assert 0 <= first < end <= n
        assert len(units) == end - first
        assert units.min() > 0
        assert units.sum() == n
        for sample, unit in zip(range(first, end), units, strict=True):
            total[sample] += Fraction(int(unit), n * parts)
    assert total == [Fraction(1, n)] * n


def test_the_seed_determines_the_blocks():
    x, y = sides("plane", (700, 700))
    first, again, other = (
        block_coupling(Sides(a=rows(x), b=rows(y)), effort=Effort(seconds=0.02), seed=seed).cost for seed in (0, 0, 1)
    )
    assert again == pytest.approx(first, rel=1e-12)
    assert abs(other - first) > 1e-9 * first


@pytest.mark.parametrize("n", [5000, 20_000, 10**6])
@pytest.mark.parametrize("dim", [2, 784])
def test_more_time_makes_larger_blocks_or_more_rounds(n, dim):
    works = [affordable_work(n, n, dim, Effort(seconds=seconds)) for seconds in (0.0, 1e-4, 1.0, 10.0, 100.0, 1000.0)]
    assert works[0] is works[1] is None
    ranks = [(work.size, work.rounds) for work in works if work is not None]
    assert ranks == sorted(ranks)
    assert works[-1] is not None


@pytest.mark.parametrize("n", [10**6, 2 * 10**6, 10**7])
def test_millions_of_samples_are_coupled_even_if_that_takes_longer(n):
    work = affordable_work(n, n + 1, 64, Effort(seconds=20.0, nbytes=4 << 30))
    assert work is not None
    assert (work.rounds > 0) == (n < 10**7)


def test_blocks_can_have_a_smaller_memory_limit():
    counts, seconds = (9000, 12_000), 10.0
    work = affordable_work(*counts, 2, Effort(seconds=seconds, nbytes=1 << 30))
    assert affordable_work(*counts, 2, Effort(seconds=seconds, nbytes=1 << 30, blocks_nbytes=1 << 40)) == work
    less = affordable_work(*counts, 2, Effort(seconds=seconds, nbytes=1 << 30, blocks_nbytes=1 << 22))
    assert work.parts == 1
    assert less.parts > 1
    assert less == affordable_work(*counts, 2, Effort(seconds=seconds, nbytes=1 << 22))


def test_parts_of_wide_samples_keep_to_the_memory():
    n, dim, nbytes = 32_000, 12_288, 1 << 29
    parts = affordable_work(n, n, dim, Effort(seconds=100.0, nbytes=nbytes)).parts
    assert 2 * 8 * (n / parts) * dim * 4 < nbytes, "two sides of a part in float64, and the copies that it takes"
    assert parts == affordable_work(n, n, dim, Effort(seconds=100.0, nbytes=nbytes, blocks_nbytes=nbytes)).parts


def test_a_coupling_that_is_killed_goes_on_to_the_same_plan(tmp_path, monkeypatch):
    """State is kept between rounds and within one."""
    x, y = sides("plane", (700, 600))
    improved, chance = blocks._improved, random.Random(0)
    a, b = rows(x), rows(y)

    def coupled():
        found = block_coupling(Sides(a=a, b=b), effort=Effort(), seed=0, work=Work(parts=2, size=40, rounds=4))
        return found.cost, *(getattr(found.plan, name).tolist() for name in ("rows", "columns", "mass"))

    whole = coupled()
    monkeypatch.setattr(folder, "SECONDS", 0.0)
    monkeypatch.setattr(blocks, "_SAVED_TOGETHER", 3)
    done = []

    def counted(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise SystemError("killed")
        done.append(1)
        return improved(*arguments)

    monkeypatch.setattr(blocks, "_improved", counted)
    for trial in range(4):
        left = [chance.randrange(4, 40)]
        with pytest.raises(SystemError), kept(tmp_path / "run", resume=trial > 0, command="test", settings={}):
            coupled()
    left = [10**6]
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert coupled() == whole
    alone = len(done)
    with kept(tmp_path / "run", resume=True, command="test", settings={}):
        assert coupled() == whole
    assert len(done) == alone  # a finished part is read
