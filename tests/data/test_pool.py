"""The pool of large batches: all training samples where they fit, fresh ones now and then where they do not, and no others."""

import numpy as np
import pytest
import torch

from tests.trials import pair_of
from wdist.data import measure as pools
from wdist.data.measure import Pool, split


def pool_of(size, count=100, prepare=lambda x: x, seed=0):
    a = np.arange(float(count)).reshape(-1, 1)
    pair = pair_of(a, a[::-1] + 0.5, seed=seed)
    return Pool(pair.a, size, prepare), pair


def numbers(x):
    return set(x.flatten().tolist())


@pytest.mark.parametrize("size", [60, 100, 10**9])
def test_what_fits_one_batch_is_handed_out_whole_each_time(size):
    pool, pair = pool_of(size)
    training = set(split(100, seed=0).train.tolist())
    assert pair.a.training_rows.count <= size
    first = pool.next()
    assert numbers(first) == training
    assert len(first) == len(training)
    assert all(pool.next() is first for _ in range(20))
    assert pool.sample is first


def test_what_fits_one_batch_is_whole_wherever_an_earlier_training_has_left_off():
    _, pair = pool_of(1000)
    pair.a.train.next(7)
    batch = Pool(pair.a, 1000, lambda x: x).next()
    assert sorted(batch.flatten().tolist()) == sorted(split(100, seed=0).train.tolist())


def test_what_does_not_fit_comes_in_batches_of_training_samples_alone_until_all_were_seen():
    pool, _ = pool_of(16)
    training, seen = set(split(100, seed=0).train.tolist()), set()
    for _ in range(60):
        batch = pool.next()
        assert batch.shape == (16, 1)
        seen |= numbers(batch)
    assert seen == training


def test_batches_come_round_again_before_they_are_replaced():
    """Drawing may cost as much as a step: only each third step draws, and six batches are kept."""
    drawn = []
    pool, _ = pool_of(16, prepare=lambda x: drawn.append(x) or x)
    for steps in range(1, 61):
        pool.next()
        assert len(drawn) == 1 + (steps - 1) // 3
    following = [pool.next() for _ in range(3)]
    assert all(any(batch is kept for kept in drawn[-6:]) for batch in following)


def test_samples_are_prepared_once_and_of_a_source_without_end_there_are_as_many_as_asked_for():
    """Of draws, which cost more, only each sixth step makes new ones."""
    pool, _ = pool_of(1000, prepare=lambda x: 10 * x)
    assert numbers(pool.next()) == {10.0 * k for k in split(100, seed=0).train.tolist()}
    pair = pair_of("synthetic:gaussian?dim=2", "synthetic:gaussian?dim=2&shift=1")
    endless = Pool(pair.a, 500, lambda x: x)
    batches = [endless.next() for _ in range(30)]
    assert {tuple(batch.shape) for batch in batches} == {(500, 2)}
    assert len({float(batch[0, 0]) for batch in batches}) == 5


def test_the_same_seed_draws_the_same_batches():
    (first, _), (again, _), (other, _) = (pool_of(16, seed=seed) for seed in (3, 3, 4))
    streams = [torch.cat([pool.next() for _ in range(9)]) for pool in (first, again, other)]
    assert torch.equal(streams[0], streams[1])
    assert not torch.equal(streams[0], streams[2])


def test_of_a_large_set_in_memory_fewer_batches_are_kept_beside_it(monkeypatch):
    """As many draws, and as many steps with each; they only come round sooner."""
    monkeypatch.setattr(pools, "_KEPT_NUMBERS", 3 * 16)
    drawn = []
    pool, _ = pool_of(16, prepare=lambda x: drawn.append(x) or x)
    for steps in range(1, 31):
        batch = pool.next()
        assert any(batch is kept for kept in drawn[-3:])
        assert len(drawn) == 1 + (steps - 1) // 3
