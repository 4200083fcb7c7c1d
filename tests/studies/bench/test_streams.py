"""The suite of streams: files of all formats hold the same rows, a process of limited memory measures them, and claims can fail."""

import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from wdist.data.sources.opening import open_source
from wdist.errors import SourceError
from wdist.studies.bench import streams
from wdist.studies.bench.streams import CASES, FORMATS, QUICK_CASES, Case, StreamRow, blocks, by_process, conclude, written
from wdist.studies.catalogue import find_study
from wdist.studies.study import Conditions, Skipped

TINY = Case(format="npy", nbytes=2 * 4 * 6 * 300, dim=6, seconds=0.2, training=0.1)


@pytest.mark.parametrize("name", FORMATS)
def test_files_of_every_format_hold_the_samples_of_the_case(name, tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "_BLOCK_BYTES", 4 * 6 * 24)
    case = replace(TINY, format=name)
    sides = []
    for side, address in enumerate(written(case, tmp_path)):
        source = open_source(address)
        wanted = np.concatenate(list(blocks(case, side)))
        assert source.count == case.rows == len(wanted)
        assert np.array_equal(source.read(slice(0, source.count)).numpy(), wanted)
        sides.append(wanted)
    assert not np.array_equal(*sides)


def test_a_process_of_limited_memory_measures_a_case(tmp_path):
    row = by_process(TINY, tmp_path)
    assert row.name == "npy, 14.4 kB, 6 coordinates"
    assert not row.streamed
    assert 0 < row.peak < streams.MACHINE
    assert min(row.disk, row.digest, row.seconds, row.steps) > 0
    assert 0 <= row.waiting <= 1
    assert not conclude([row]).checks[0].holds, "it is not larger than memory"


def test_a_process_without_enough_memory_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "MACHINE", 1 << 20)
    with pytest.raises(SourceError, match="the process ended: "):
        by_process(TINY, tmp_path)


def test_files_larger_than_the_disk_are_skipped(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=10**9))
    found = list(find_study("bench", "streams").measure(Conditions(only=("npy",))))
    assert [type(each) for each in found] == [Skipped]
    assert found[0].reason == "needs 12 GB of disk for temporary files, and 1 GB are free; set TMPDIR"


def test_memory_time_and_waiting_beyond_their_limits_are_told():
    row = StreamRow(
        name="npy",
        nbytes=10**10,
        streamed=True,
        peak=10**9,
        disk=1e9,
        digest=6e8,
        digest_processor=8.0,
        budget=60.0,
        seconds=64.0,
        steps=100,
        waiting=0.01,
    )
    assert [check.holds for check in conclude([row]).checks] == [True] * 4
    bad = replace(row, peak=2 * 10**9, digest=1e8, seconds=80.0, waiting=0.5)
    assert [check.holds for check in conclude([row, bad]).checks] == [False] * 4


def test_the_quick_form_is_a_part_of_the_full_one():
    assert {case.format for case in QUICK_CASES} < {case.format for case in CASES} == set(FORMATS)
