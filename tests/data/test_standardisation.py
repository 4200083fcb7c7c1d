"""One shift, one spread, fitted on training rows, undone exactly."""

import pytest
import torch

from wdist.data import standardisation
from wdist.data.rows import ResidentRows
from wdist.data.sources.source import SourceInfo
from wdist.data.standardisation import Standardisation

AS_STORED = SourceInfo(address="<tensor>", kind="array", event_shape=(4,), count=300, dtype="float32")


def test_it_centres_both_sides_and_gives_them_radius_1(generator):
    a = torch.randn(300, 4, generator=generator, dtype=torch.float64) * 3 + 5
    b = torch.randn(50, 4, generator=generator, dtype=torch.float64) - 2
    fitted = Standardisation.fit(a, b)
    x, y = fitted.apply(a), fitted.apply(b)
    torch.testing.assert_close(x.mean(0) + y.mean(0), torch.zeros(4, dtype=torch.float64))
    assert float(x.square().sum(1).mean() + y.square().sum(1).mean()) / 2 == pytest.approx(1)


@pytest.mark.parametrize("scale", [1e-320, 1e-300, 1e-30, 1e30, 1e300])
def test_neither_large_nor_small_values_overflow(scale, generator):
    a = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    fitted = Standardisation.fit(a * scale, (a + 1) * scale)
    assert 0 < fitted.spread < float("inf")
    x = fitted.apply(a * scale)
    assert bool(torch.isfinite(x).all())
    assert 0.1 < float(x.square().sum(1).mean()) < 10


def test_equivariance_under_powers_of_two_is_exact(generator):
    a, b = torch.randn(2, 30, 4, generator=generator, dtype=torch.float64)
    plain, scaled = Standardisation.fit(a, b), Standardisation.fit(a * 2.0**70, b * 2.0**70)
    assert scaled.spread == plain.spread * 2.0**70
    assert torch.equal(scaled.shift, plain.shift * 2.0**70)
    assert torch.equal(plain.apply(a), scaled.apply(a * 2.0**70))


def test_one_point_has_spread_1():
    fitted = Standardisation.fit(torch.full((5, 2), 7.0), torch.full((4, 2), 7.0))
    assert fitted.spread == 1
    assert fitted.shift.tolist() == [7, 7]


def test_samples_keep_their_precision():
    fitted = Standardisation.fit(torch.zeros(3, 2), torch.ones(3, 2))
    assert fitted.apply(torch.ones(1, 2)).dtype == torch.float32
    assert fitted.apply(torch.ones(1, 2).double()).dtype == torch.float64


def test_rows_piece_by_piece_come_to_the_same_as_all_at_once(generator, monkeypatch):
    """Neither the fit nor what is standardised depends on how many rows are looked at together, up to the order of a sum."""
    x = torch.randn(300, 4, generator=generator)
    rows = ResidentRows(values=x, info=AS_STORED, index=torch.arange(0, 300, 2))
    whole = Standardisation.fit(x[::2], x[1::2])
    assert whole.spread == Standardisation.fit(rows, x[1::2]).spread
    assert torch.equal(whole.of(rows), whole.apply(x[::2].double()))
    assert torch.equal(whole.of(rows, torch.float32), whole.apply(x[::2].double()).float())
    monkeypatch.setattr(standardisation, "_NUMBERS_AT_ONCE", 28)
    pieces = Standardisation.fit(rows, x[1::2])
    assert pieces.spread == pytest.approx(whole.spread, rel=1e-14)
    torch.testing.assert_close(pieces.shift, whole.shift, rtol=1e-13, atol=1e-15)
    assert torch.equal(whole.of(rows), whole.apply(x[::2].double()))
