"""Laws that every source obeys."""

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from tests.data.sources.conftest import ARRAYS, ENDLESS, FINITE, GENERATORS, PARTS, ROWS
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import FiniteSource
from wdist.data.survey import survey


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def everything(source):
    return source.read(slice(0, source.count))


@pytest.mark.parametrize("write", FINITE.values(), ids=FINITE)
class TestFinite:
    def test_rows_are_flattened_and_counted(self, write, opened):
        source = opened(write)
        rows = everything(source)
        assert isinstance(source, FiniteSource)
        assert rows.shape == (source.count, source.info.dim)
        assert rows.device.type == "cpu"
        assert source.nbytes == rows.nbytes

    def test_one_address_gives_the_same_rows_twice(self, write, tmp_path):
        address = write(tmp_path)
        first, second = (open_source(address, seed=3) for _ in range(2))
        assert torch.equal(everything(first), everything(second))
        assert first.info == second.info

    def test_a_slice_holds_these_rows_of_all(self, write, opened):
        source = opened(write)
        rows = everything(source)
        for start, stop in ((0, 1), (3, 9), (source.count - 2, source.count), (4, 4), (source.count - 1, source.count + 5)):
            assert torch.equal(source.read(slice(start, stop)), rows[start:stop])

    def test_sorted_row_numbers_pick_these_rows_of_all(self, write, opened):
        source = opened(write)
        rows = everything(source)
        for numbers in ([0], [1, 2, 3], [0, 4, source.count - 1], []):
            picked = source.read(np.asarray(numbers, dtype=np.int64))
            assert torch.equal(picked, rows[numbers])
            assert picked.dtype == rows.dtype

    def test_slabs_are_all_rows_in_order(self, write, opened):
        source = opened(write)
        starts, slabs = zip(*source.slabs(7), strict=True)
        assert torch.equal(torch.cat(slabs), everything(source))
        assert list(starts) == list(range(0, source.count, 7))

    def test_values_lie_within_the_bounds_that_are_stated(self, write, opened):
        source = opened(write)
        rows = everything(source).double() * source.info.scale + source.info.offset
        if source.info.bounds is not None:
            low, high = source.info.bounds
            assert low - 1e-12 <= rows.min()
            assert rows.max() <= high + 1e-12

    def test_survey_agrees_with_the_rows(self, write, opened):
        source = opened(write)
        found = survey(source)
        rows = everything(source).double() * source.info.scale + source.info.offset
        assert found.minimum == pytest.approx(float(rows.min()), rel=1e-12)
        assert found.maximum == pytest.approx(float(rows.max()), rel=1e-12)
        assert len(found.nonfinite) == 0
        assert not found.constant


@pytest.mark.parametrize("write", (ARRAYS | PARTS).values(), ids=ARRAYS | PARTS)
def test_every_format_holds_the_same_values(write, opened):
    """Each in its own stored type; tables in float64."""
    assert np.array_equal(everything(opened(write)).numpy().astype(np.float32), ROWS.reshape(60, 6))


def test_digest_names_the_data_and_not_the_file(tmp_path):
    """Formats that keep type and shape share it; a changed value or shape does not."""
    digests = {
        survey(open_source(ARRAYS[name](tmp_path))).digest for name in ("h5", "npy", "npy-fortran", "npz", "pt", "safetensors")
    }
    assert len(digests) == 1
    changed = ROWS.copy()
    changed[59, 1, 2] += 1e-6
    digests |= {survey(open_source(values)).digest for values in (changed, ROWS.reshape(60, 6), ROWS[:59], ROWS.astype(np.float64))}
    assert len(digests) == 5


@pytest.mark.parametrize("write", ENDLESS.values(), ids=ENDLESS)
class TestEndless:
    def test_draws_are_flattened_and_floating(self, write, opened):
        source = opened(write)
        draws = source.draw(11, seeded(0))
        assert draws.shape == (11, source.info.dim)
        assert draws.is_floating_point()
        assert source.info.count is None
        assert source.draw(0, seeded(0)).shape == (0, source.info.dim)

    def test_draws_follow_from_the_seed(self, write, opened):
        source = opened(write)
        before = torch.random.get_rng_state()
        first, again, other = source.draw(9, seeded(1)), source.draw(9, seeded(1)), source.draw(9, seeded(2))
        assert torch.equal(first, again)
        assert torch.equal(torch.random.get_rng_state(), before)
        if not torch.equal(first, first[:1].expand_as(first)):
            assert not torch.equal(first, other)

    def test_draws_go_on_without_repeating(self, write, opened):
        source = opened(write)
        generator = seeded(1)
        first, second = source.draw(9, generator), source.draw(9, generator)
        if not torch.equal(first, first[:1].expand_as(first)):
            assert not torch.equal(first, second)

    def test_many_draws_at_once_follow_the_law_of_single_ones(self, write, opened):
        source = opened(write)
        generator = seeded(3)
        many = source.draw(600, generator)[:, 0].double()
        few = torch.cat([source.draw(50, generator)[:, 0] for _ in range(12)]).double()
        assert ks_2samp(many.numpy(), few.numpy(), method="asymp").pvalue > 1e-4

    def test_draws_lie_within_the_bounds_that_are_stated(self, write, opened):
        source = opened(write)
        draws = source.draw(500, seeded(4))
        if source.info.bounds is not None:
            low, high = source.info.bounds
            assert low - 1e-9 <= draws.min()
            assert draws.max() <= high + 1e-9

    def test_draws_carry_no_gradient_and_are_finite(self, write, opened):
        draws = opened(write).draw(50, seeded(5))
        assert not draws.requires_grad
        assert torch.isfinite(draws).all()

    @pytest.mark.gpu
    def test_draws_stand_on_the_generator_s_device(self, write, opened):
        draws = opened(write).draw(50, torch.Generator("cuda").manual_seed(5))
        assert draws.device.type == "cuda"
        assert torch.isfinite(draws).all()


def test_all_kinds_of_generators_are_among_the_endless():
    assert set(GENERATORS) <= set(ENDLESS)
