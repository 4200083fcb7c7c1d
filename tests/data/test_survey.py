"""One pass over all rows."""

import numpy as np
import pytest

from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.data.survey import finite_rows, survey
from wdist.errors import SourceError


def everything(source):
    return source.read(slice(0, source.count))


def spoiled(kind, rows):
    values = np.random.default_rng(0).normal(size=(50, 3)).astype(kind)
    values[rows, 1] = np.nan
    values[rows[0], 2] = np.inf
    return values


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_rows_that_are_not_finite_are_named_or_dropped(kind):
    values = spoiled(kind, [4, 17, 48])
    source = open_source(values)
    found = survey(source)
    assert found.nonfinite.tolist() == [4, 17, 48]
    with pytest.raises(SourceError, match=r"3 of 50 rows \(4, 17, 48\) hold NaN or infinity; .*drop_nonfinite=True"):
        finite_rows(source, found, Access())
    kept = finite_rows(source, found, Access(drop_nonfinite=True))
    assert (kept.count, kept.info.count, kept.info.dropped) == (47, 47, 3)
    assert np.array_equal(everything(kept).numpy(), np.delete(values, [4, 17, 48], axis=0))
    assert np.isfinite([found.minimum, found.maximum]).all()


def test_one_bad_row_and_many():
    for rows, words in (([4], "row 4 holds"), (list(range(9)), r"9 of 50 rows \(0, 1, 2, 3, 4, \.\.\.\)")):
        source = open_source(spoiled(float, rows))
        with pytest.raises(SourceError, match=words):
            finite_rows(source, survey(source), Access())


def test_finite_sources_are_handed_back_as_they_are():
    source = open_source(np.ones((20, 2)))
    assert finite_rows(source, survey(source), Access()) is source
    assert survey(source).constant


def test_too_few_samples_are_refused():
    source = open_source(np.ones((19, 2)))
    with pytest.raises(SourceError, match="19 usable samples; give at least 20"):
        finite_rows(source, survey(source), Access())
    none_left = open_source(np.full((30, 2), np.nan))
    found = survey(none_left)
    assert (found.minimum, found.maximum, found.constant) == (None, None, False)
    with pytest.raises(SourceError, match="every row holds NaN or infinity"):
        finite_rows(none_left, found, Access(drop_nonfinite=True))


def test_the_survey_does_not_depend_on_how_the_rows_are_cut(monkeypatch):
    values = spoiled(np.float32, [3, 30])
    whole = survey(open_source(values))
    monkeypatch.setattr("wdist.data.survey._BYTES_AT_ONCE", 24 * 7)
    cut = survey(open_source(values))
    assert (whole.digest, whole.minimum, whole.maximum) == (cut.digest, cut.minimum, cut.maximum)
    assert np.array_equal(whole.nonfinite, cut.nonfinite)


@pytest.mark.parametrize("scale", [1e30, 1e-30])
def test_extreme_values_are_surveyed_exactly(scale):
    values = np.linspace(-1, 1, 30) * scale
    found = survey(open_source(values))
    assert (found.minimum, found.maximum, len(found.nonfinite)) == (-scale, scale, 0)


def test_samples_in_columns_are_recognised():
    source = open_source(np.random.default_rng(0).normal(size=(3, 500)))
    with pytest.raises(SourceError, match="3 usable samples; give at least 20, or transpose it if its 500 columns are the samples"):
        finite_rows(source, survey(source), Access())
