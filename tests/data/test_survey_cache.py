"""Surveys of files are recalled while the files stay as they are, and never afterwards."""

import json
import os
import time

import numpy as np
import pytest

from wdist.data import survey as surveys
from wdist.data import survey_cache
from wdist.data.sources.opening import open_source
from wdist.data.survey import survey


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder of its own for the cache, which keeps small files, too."""
    monkeypatch.setattr(survey_cache, "_LEAST_BYTES", 0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "wdist" / "surveys"


@pytest.fixture
def readings(monkeypatch):
    """Sources that were read for a survey."""
    read, found = surveys._read, []
    monkeypatch.setattr(surveys, "_read", lambda source, progress: found.append(source) or read(source, progress))
    return found


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A file with a row of NaN, which nobody has changed for long."""
    values = np.random.default_rng(0).normal(size=(100, 3))
    values[7] = np.nan
    np.save(tmp_path / "a.npy", values)
    monkeypatch.setattr("wdist.files._RACY_SECONDS", -1.0)
    return tmp_path / "a.npy"


def surveyed(path, **options):
    return survey(open_source(f"{path}"), cache=True, **options)


def same(a, b):
    return {**vars(a), "nonfinite": a.nonfinite.tolist()} == {**vars(b), "nonfinite": b.nonfinite.tolist()}


def test_a_file_is_read_once_and_recalled_whole(path, readings):
    first, told = surveyed(path), []
    again = surveyed(path, progress=told.append)
    assert len(readings) == 1
    assert same(first, again)
    assert again.nonfinite.dtype == first.nonfinite.dtype
    assert told == [1.0]
    assert same(survey(open_source(str(path))), first)
    assert len(readings) == 2, "without a cache it is read"


def test_a_changed_file_is_read_again_even_where_size_and_time_of_modification_are_the_same(path, readings):
    first, before = surveyed(path), path.stat()
    with path.open("r+b") as file:
        file.seek(-8, os.SEEK_END)
        file.write(np.float64(0.5).tobytes())
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    assert surveyed(path).digest != first.digest
    replacement = path.with_suffix(".new.npy")
    np.save(replacement, np.zeros((100, 3)))
    os.utime(replacement, ns=(before.st_atime_ns, before.st_mtime_ns))
    replacement.rename(path)
    assert surveyed(path).constant
    assert len(readings) == 3


def test_a_file_modified_just_now_is_not_kept(path, readings, monkeypatch, folder):
    monkeypatch.setattr("wdist.files._RACY_SECONDS", 2.0)
    os.utime(path, (time.time() - 100, time.time() - 100))
    surveyed(path)
    surveyed(path)
    assert len(readings) == 2, "its time of change is that of the moment"
    assert not folder.exists()


def test_a_file_that_changes_between_opening_and_survey_is_not_kept(path, folder):
    source = open_source(str(path))
    assert surveys.key_of(source) is not None
    os.utime(path, (0, 0))
    assert surveys.key_of(source) is None


def test_other_options_and_other_sources_have_other_surveys(path, readings):
    surveyed(path)
    scaled = surveyed(f"{path}?stored=-9:9&range=unit")
    assert 0 <= scaled.minimum <= scaled.maximum <= 1
    survey(open_source(np.ones((30, 2))), cache=True)
    survey(open_source(f"{path}?rows=0:50"), cache=True)
    assert len(readings) == 4


@pytest.mark.parametrize("content", ["", "{", "[]", '{"key": "another"}', '{"key": 1, "survey": {}}'])
def test_a_damaged_file_of_the_cache_is_replaced(content, path, readings, folder):
    surveyed(path)
    (file,) = folder.iterdir()
    good = file.read_text()
    file.write_text(content)
    surveyed(path)
    assert len(readings) == 2
    assert json.loads(file.read_text()) == json.loads(good)


def test_a_cache_that_cannot_be_written_to_does_no_harm(path, readings, folder):
    folder.parent.parent.write_text("not a folder")
    assert same(surveyed(path), surveyed(path))
    assert len(readings) == 2


def test_a_survey_of_another_version_of_wdist_is_not_recalled(path, readings, monkeypatch):
    surveyed(path)
    monkeypatch.setattr(survey_cache, "package_version", lambda: "0")
    surveyed(path)
    assert len(readings) == 2
