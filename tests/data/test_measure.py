"""Measures: held in memory, streamed from a file, or drawn; the same samples in the same parts."""

import contextlib
import functools
import operator
import threading

import numpy as np
import pytest
import torch

from tests.trials import CPU, SMALL, CountedRows, judged, pair_of, trial, two_moons
from wdist.checkpoints.state import restored, state_of
from wdist.data import measure as measures
from wdist.data.measure import TrainingStreams, make_measure, split
from wdist.data.rows import StreamedMinibatches, StreamedRows, evenly, gather
from wdist.data.sources.arrays import exact_float
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import random_stream
from wdist.errors import SourceError


@pytest.fixture
def streaming(monkeypatch):
    """Nothing fits into memory, rows are read one by one, and a pool is 64 of them."""
    monkeypatch.setattr(measures, "fits", lambda nbytes: False)
    monkeypatch.setattr(measures, "_SLAB_BYTES", 1)
    monkeypatch.setattr(measures, "_POOL_BYTES", 1)


@pytest.fixture
def stored(tmp_path):
    """A file of 1000 rows, each of which is known by its first coordinate."""
    values = np.random.default_rng(0).normal(size=(1000, 3))
    values[:, 0] = np.arange(1000)
    np.save(tmp_path / "a.npy", values)
    return tmp_path / "a.npy", values


def measured(address, seed=0, side=0):
    return make_measure(open_source(address), side=side, seed=seed, device=CPU, digest="x")


def identities(rows):
    return gather(rows)[:, 0].long().tolist()


def readers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("wdist-reader")]


def test_parts_in_memory_are_disjoint_and_together_all(stored):
    path, values = stored
    held = measured(path)
    parts = [identities(part) for part in (held.training_rows, held.validation, held.held_out)]
    assert sorted(functools.reduce(operator.iadd, parts, [])) == list(range(1000))
    assert torch.equal(gather(held.everything), torch.from_numpy(values))


@pytest.mark.usefixtures("streaming")
def test_a_stream_holds_the_same_samples_in_the_same_parts(stored, monkeypatch):
    path, values = stored
    stream = measured(path)
    try:
        monkeypatch.undo()
        held = measured(path)
        assert identities(stream.held_out) == identities(held.held_out)
        assert identities(stream.validation) == identities(held.validation)
        assert torch.equal(gather(stream.everything), torch.from_numpy(values))
        seen = {int(x) for _ in range(40) for x in stream.train.next(100)[:, 0]}
        assert seen == set(identities(held.training_rows)), "all of the training rows and none of the others"
    finally:
        stream.close()


def test_only_a_stream_changes_how_the_process_returns_memory(stored, monkeypatch):
    returned = []
    monkeypatch.setattr(measures, "return_large_blocks", lambda: returned.append(1))
    for streaming in (False, True):
        monkeypatch.setattr(measures, "fits", lambda nbytes, streaming=streaming: not streaming)
        measured(stored[0]).close()
        assert bool(returned) == streaming


@pytest.mark.usefixtures("streaming")
def test_an_epoch_of_a_stream_sees_every_training_row_once(stored):
    path, _ = stored
    stream = measured(path)
    try:
        train = sorted(set(range(1000)) - set(identities(stream.validation)) - set(identities(stream.held_out)))
        passes = [torch.cat([stream.train.next(n) for n in (1, 100, 7, len(train) - 108)])[:, 0].long().tolist() for _ in range(2)]
        assert [sorted(each) for each in passes] == [train, train]
        assert passes[0] != passes[1]
    finally:
        stream.close()


@pytest.mark.parametrize("together", [1, 3000], ids=["row by row", "in large pieces"])
def test_minibatches_of_a_sorted_file_are_nearly_independent_draws(together):
    """Their distribution is as far from that of all rows as that of independent draws is, or nearer."""
    count, n, batches = 200_000, 500, 60
    source = open_source(np.linspace(0, 1, count).reshape(-1, 1))
    source.rows_together = together
    excluded = split(count, seed=0, most_held=2000).excluded
    with contextlib.closing(
        StreamedMinibatches(source, excluded, random_stream(0, 0, 0), torch.float64, pool_rows=20_000)
    ) as stream:
        drawn = torch.cat([stream.next(n) for _ in range(batches)]).reshape(batches, n).numpy()
    levels = np.sort(drawn, axis=1)
    apart = np.abs(levels - (np.arange(n) + 0.5) / n).max(axis=1)
    assert np.mean(apart) < 1.2 * 0.8687 / n**0.5, "the mean of Kolmogorov's statistic of independent draws"
    means = drawn.mean(axis=1)
    assert abs(means.mean() - 0.5) < 4 * (1 / 12 / n / batches) ** 0.5
    assert means.std() < 1.5 * (1 / 12 / n) ** 0.5
    following = np.corrcoef(means[:-1], means[1:])[0, 1]
    assert abs(following) < 4 / batches**0.5, "one minibatch does not tell the next"


def test_a_pool_takes_runs_from_all_parts_of_a_file_and_each_run_once_in_a_pass():
    count, pool_rows = 10_000, 1000
    source = open_source(np.arange(float(count)).reshape(-1, 1))
    none = np.empty(0, dtype=np.int64)
    with contextlib.closing(
        StreamedMinibatches(source, none, random_stream(3, 0, 0), torch.float64, pool_rows=pool_rows)
    ) as stream:
        pools = [stream.next(960)[:, 0] for _ in range(8)]
    for pool in pools:
        tenths = np.histogram(pool.numpy(), bins=10, range=(0, count))[0]
        assert tenths.min() > 60
        assert len(set(pool.tolist())) == 960


@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_a_pass_over_a_stream_reads_each_row_once_and_more_than_a_batch_at_a_time(size, monkeypatch):
    monkeypatch.setattr("wdist.data.rows._SLAB_BYTES", 8 * 3 * 50)
    values = np.random.default_rng(0).normal(size=(1000, 3))
    source = CountedRows(values)
    batches = list(StreamedRows(source=source).batches(size))
    assert [len(batch) for batch in batches] == [len(part) for part in torch.from_numpy(values).split(size)]
    assert torch.equal(torch.cat(batches), torch.from_numpy(values))
    assert (source.times == 1).all()
    assert source.readings == -(-1000 // {1: 50, 7: 49}.get(size, size))


def test_an_epoch_in_memory_sees_every_training_row_once(stored):
    path, _ = stored
    held = measured(path)
    count = held.training_rows.count
    for _ in range(3):
        assert sorted(held.train.next(count)[:, 0].long().tolist()) == sorted(identities(held.training_rows))
    assert held.train.next(3 * count).shape == (3 * count, 3)


@pytest.mark.usefixtures("streaming")
def test_a_stream_reads_what_it_holds_out_and_its_first_pool_and_goes_back_without_reading():
    """Each training begins at the same place; most of them end in the pool that they began in."""
    source = CountedRows(np.arange(1000.0).reshape(-1, 1))
    stream = make_measure(source, side=0, seed=0, device=CPU, digest=None, most_held=100)
    with contextlib.closing(stream):
        streams, held = TrainingStreams(stream), [*identities(stream.held_out), *identities(stream.validation)]
        first = stream.train.next(40)
        stream.train._ahead.result()
        assert (source.times[held] <= 3).all(), "once for good, and where one lies in a run of a pool"
        before = source.times.copy()
        for _ in range(3):
            streams.begin()
            assert torch.equal(stream.train.next(40), first)
        assert (source.times == before).all()


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("most", [1 << 30, 24 * 200], ids=["all of them", "some of them"])
def test_a_stream_that_is_stored_in_large_pieces_is_read_once_for_all_trainings(most, monkeypatch):
    """Held-out rows are those of other streams; training rows are all of the others, or some at random, each once in a pass."""
    monkeypatch.setattr(measures, "_SPOOL_BYTES", most)
    values = np.random.default_rng(0).normal(size=(1000, 3))
    values[:, 0] = np.arange(1000)
    source = CountedRows(values)
    source.rows_together = 400
    with contextlib.closing(make_measure(source, side=0, seed=0, device=CPU, digest=None)) as stream:
        parts = split(1000, seed=0)
        assert identities(stream.held_out) == parts.held_out.tolist()
        assert identities(stream.validation) == parts.validation.tolist()
        streams, size = TrainingStreams(stream), min(len(parts.train), most // 24)
        passes = []
        for sequence in (0, 0, 1):
            streams.begin(sequence)
            drawn = stream.train.next(size)
            assert torch.equal(drawn, torch.from_numpy(values)[drawn[:, 0].long()])
            passes.append(drawn[:, 0].long().tolist())
        chosen = sorted(passes[0])
        assert len(set(chosen)) == size
        assert set(chosen) <= set(parts.train.tolist())
        assert chosen[0] < 50 < 950 < chosen[-1], "from all parts of the file"
        assert passes[1] == passes[0] != passes[2]
        assert sorted(passes[2]) == chosen
        assert (source.times == 1).all()


@pytest.mark.usefixtures("streaming")
@pytest.mark.parametrize("used", [0, 10, 150])
def test_another_sequence_of_a_stream_is_the_same_from_wherever_it_is_left_for(used):
    def drawn(used):
        source = open_source(np.arange(1000.0).reshape(-1, 1))
        with contextlib.closing(make_measure(source, side=0, seed=0, device=CPU, digest=None)) as stream:
            streams = TrainingStreams(stream)
            stream.train.next(used) if used else None
            streams.begin(2)
            return stream.train.next(200).flatten().tolist()

    assert drawn(used) == drawn(70)


@pytest.mark.usefixtures("streaming")
def test_closing_ends_the_reading_thread(stored):
    path, _ = stored
    before = len(readers())
    stream = measured(path)
    stream.train.next(10)
    assert len(readers()) == before + 1
    stream.close()
    assert len(readers()) == before


@pytest.mark.usefixtures("streaming")
def test_a_trial_on_streams_agrees_with_one_in_memory(tmp_path, monkeypatch):
    """The same held-out samples and all of the samples; only the order of training differs."""
    a, b = two_moons(600, 500, 2)
    np.save(tmp_path / "a.npy", a)
    np.save(tmp_path / "b.npy", b)
    before = len(readers())
    streamed = trial(tmp_path / "a.npy", tmp_path / "b.npy", steps=150)
    assert len(readers()) == before
    monkeypatch.undo()
    held = trial(tmp_path / "a.npy", tmp_path / "b.npy", steps=150)
    assert (streamed.samples.n_a, streamed.samples.n_b) == (600, 500)
    assert (streamed.population.n_a, streamed.population.n_b) == (held.population.n_a, held.population.n_b)
    assert streamed.samples.lower == pytest.approx(held.samples.lower, rel=0.1)
    assert streamed.population.estimate == pytest.approx(held.population.estimate, rel=0.15)


@pytest.mark.usefixtures("streaming")
def test_a_file_that_breaks_while_it_is_streamed_is_an_error_and_leaves_no_thread(stored, monkeypatch):
    path, _ = stored
    before = len(readers())
    pair = pair_of(path, path)

    def broken(rows):
        raise SourceError("the disk is gone")

    monkeypatch.setattr(pair.a.everything.source, "read", broken)
    with pytest.raises(SourceError, match="the disk is gone"):
        judged(pair, steps=500, settings=SMALL)
    assert len(readers()) == before


def test_both_sides_of_one_file_are_split_alike_and_known_as_identical(stored):
    path, _ = stored
    pair = pair_of(path, path)
    assert pair.identical
    assert "exactly 0" in pair.warnings[-1]
    assert identities(pair.a.held_out) == identities(pair.b.held_out)


@pytest.mark.parametrize("other", ["?range=raw", "?range=symmetric"])
def test_one_file_in_two_units_is_not_identical(tmp_path, other):
    """The digest is of stored bytes, which may stand for different values."""
    np.save(tmp_path / "a.npy", np.random.default_rng(0).integers(0, 256, (50, 2), dtype=np.uint8))
    pair = pair_of(f"{tmp_path / 'a.npy'}?range=unit", f"{tmp_path / 'a.npy'}{other}")
    assert pair.a.digest == pair.b.digest
    assert not pair.identical


def test_rows_of_bytes_are_handed_out_in_the_units_of_the_source():
    stored = torch.arange(60, dtype=torch.uint8).reshape(30, 2)
    pair = pair_of(stored, stored + 100)
    torch.testing.assert_close(gather(pair.a.everything), stored.double() / 255)
    for rows in (pair.a.held_out, pair.a.validation, pair.a.training_rows):
        torch.testing.assert_close(gather(rows), stored[rows.index].double() / 255)
    assert float(pair.a.train.next(20).max()) < 0.25


def test_draws_are_kept_for_judging_and_fresh_for_training():
    drawn, again, other_side = (measured("synthetic:gaussian?dim=2", side=side) for side in (0, 0, 1))
    assert drawn.digest == "x" or drawn.digest is None
    assert drawn.everything is drawn.held_out
    assert drawn.training_rows is None
    assert torch.equal(gather(drawn.held_out), gather(again.held_out))
    assert not torch.equal(gather(drawn.held_out), gather(other_side.held_out))
    assert torch.equal(drawn.train.next(5), again.train.next(5))
    sets = [
        {tuple(row) for row in rows.tolist()} for rows in (gather(drawn.held_out), gather(drawn.validation), drawn.train.next(2000))
    ]
    assert not (sets[0] & sets[1])
    assert not (sets[0] & sets[2])
    assert not (sets[1] & sets[2])


def test_streams_of_random_numbers_are_independent_of_each_other():
    states = {tuple(torch.rand(3, generator=random_stream(*key)).tolist()) for key in np.ndindex(3, 2, 3)}
    assert len(states) == 18


def test_whole_numbers_beyond_float64_are_refused():
    """2^53 + 1 is no float64: the bound would be that of other samples."""
    values = torch.arange(30).reshape(-1, 1) + 2**53
    with pytest.raises(SourceError, match="subtract an offset"):
        pair_of(values, values + 1)
    with pytest.raises(SourceError, match="subtract an offset"):
        pair_of(-values, values - 2**53)
    pair_of(values - 2**52, values - 2**53)


@pytest.mark.parametrize("stored", [torch.int32, torch.int64, torch.float64], ids=str)
def test_training_keeps_digits_that_float32_has_not(stored):
    assert exact_float(stored) == torch.float64
    assert exact_float(torch.uint8) == exact_float(torch.float32) == exact_float(torch.float16) == torch.float32


@pytest.mark.parametrize(("count", "limit"), [(1, 5), (10, 3), (10, 10), (7, 100), (10**6, 2048)])
def test_positions_are_spread_evenly(count, limit):
    positions = evenly(count, limit)
    assert len(positions) == min(count, limit)
    assert len(set(positions.tolist())) == len(positions)
    assert int(positions.min()) >= 0
    assert int(positions.max()) == count - 1


def test_draws_of_large_samples_are_fewer_rather_than_beyond_memory(monkeypatch):
    """As many on every machine, so that a saved critic is verified on the same ones."""
    monkeypatch.setattr(measures, "DRAWN_COORDINATES", 100 * 1000)
    drawn = measured("synthetic:gaussian?dim=100")
    assert (drawn.held_out.count, drawn.validation.count) == (1000, 1000)
    assert measured("synthetic:gaussian?dim=1000").held_out.count == 600
    assert measured("synthetic:gaussian?dim=2").held_out.count == measures.DRAWN_HELD_OUT


def test_a_sample_of_a_fixed_training_split_is_no_copy_and_advances_nothing(stored):
    path, _ = stored
    held = measured(path)
    expected = measured(path).train.next(7)
    sample = held.training_sample(50)
    assert sample.values.data_ptr() == held.everything.values.data_ptr()
    assert sample.count == 50
    assert set(identities(sample)) <= set(identities(held.training_rows))
    assert torch.equal(held.train.next(7), expected)
    assert held.training_sample(10**9).count == held.training_rows.count


def test_a_sample_of_draws_is_the_next_of_them():
    drawn, again = (measured("synthetic:gaussian?dim=2") for _ in range(2))
    assert torch.equal(gather(drawn.training_sample(50)), again.train.next(50).double())
    assert torch.equal(gather(drawn.training_sample(90, drawn=40)), again.train.next(40).double())


def test_values_that_become_nan_after_the_survey_are_noticed(streaming):
    """As in a mapped file whose time of modification says nothing."""
    values = torch.randn(200, 2)
    measure = make_measure(source := open_source(values), side=0, seed=0, device=CPU, digest=None)
    with contextlib.closing(measure):
        values[split(200, seed=0).held_out[3]] = torch.nan
        for again in (
            lambda: list(measure.everything.batches(10)),
            lambda: make_measure(source, side=0, seed=0, device=CPU, digest=None),
            lambda: measures._resident(source, side=0, seed=0, device=CPU, digest=None, most_held=None),
        ):
            with pytest.raises(SourceError, match="changed while it was read, to NaN or infinity"):
                again()
        values[:] = torch.nan
        with pytest.raises(SourceError, match="changed while it was read, to NaN or infinity"):
            measure.train.next(2000)


@pytest.fixture
def drawing():
    """Endless minibatches whose draws a thread makes ahead, and the same without a thread."""
    measures_of_both = [measured("synthetic:funnels?funnels=4&dim=5&side=a") for _ in range(2)]
    ahead, plain = (measure.train for measure in measures_of_both)
    plain._may_draw_ahead = False
    with contextlib.closing(measures_of_both[0]):
        yield ahead, plain


@pytest.mark.parametrize("sizes", [[50] * 6, [50, 50, 50, 7, 50, 50, 50, 3, 3, 3, 90], [1, 2, 3]], ids=str)
def test_draws_made_ahead_are_the_same(sizes, drawing):
    ahead, plain = drawing
    for n in sizes:
        assert torch.equal(ahead.next(n), plain.next(n))


def test_draws_made_ahead_leave_the_state_of_those_that_were_taken(drawing):
    ahead, plain = drawing
    for _ in range(3):
        ahead.next(20), plain.next(20)
    assert ahead._ahead is not None
    state = state_of(ahead)
    assert torch.equal(state["_state"], state_of(plain)["_state"])
    following = [ahead.next(20) for _ in range(3)]
    restored(ahead, state)
    assert all(torch.equal(ahead.next(20), each) for each in following)
    restored(plain, state)
    assert torch.equal(plain.next(20), following[0])


def test_a_draw_that_fails_ahead_fails_where_it_is_taken_and_closing_ends_the_thread(drawing, monkeypatch):
    ahead, _ = drawing
    ahead.next(5)

    def broken(n, generator):
        raise SourceError("no more")

    monkeypatch.setattr(ahead._source, "_draw", broken)
    with pytest.raises(SourceError, match="no more"):
        ahead.next(5), ahead.next(5)
    ahead.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("wdist-draws")]
