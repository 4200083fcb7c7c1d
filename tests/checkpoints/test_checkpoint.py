"""A run that is resumed does not do again what it has done, and refuses a folder that is not its own in one sentence."""

import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from wdist.checkpoints import folder as module
from wdist.checkpoints.checkpoint import current, now
from wdist.checkpoints.folder import kept
from wdist.checkpoints.manifest import MANIFEST, settings_of
from wdist.checkpoints.values import as_text, from_text, packed, unpacked
from wdist.errors import OutputError, SourceError, UsageError, WdistError
from wdist.interruption import Terminated
from wdist.studies.study import ReproducedNumber

SETTINGS = {"steps": 10, "seed": 0, "budget": None}


@pytest.fixture
def keep(tmp_path):
    """Keeps a run in one folder."""

    def context(**changes):
        return kept(tmp_path / "run", **{"command": "estimate", "settings": SETTINGS, **changes})

    return context


@dataclass
class Count:
    """Work in steps, some of which may be interrupted."""

    resumable = ("total", "steps")
    total: float = 0.0
    steps: int = 0

    def to(self, last, generator, *, stop=None, error=KeyboardInterrupt):
        part = current().part("count", [self, generator], shared=[generator])
        if part.result is None:

            def work():
                while self.steps < last:
                    with part.step():
                        if self.steps == stop:
                            raise error
                        self.total += float(torch.rand((), generator=generator))
                        self.steps += 1

            part.run(work)
            part.finish(self.total)
            return self.total
        return part.result


def test_parts_are_read_and_streams_go_on_where_they_were(keep):
    def run():
        generator, calls = torch.Generator().manual_seed(0), []
        first = Count().to(3, generator)
        rows = list(current().rows("rows", lambda: iter(calls.append(len(calls)) or [1, 2.5, None])))
        return first, rows, Count().to(5, generator), len(calls)

    alone = run()
    with keep():
        assert run() == alone
    with keep(resume=True):
        assert run() == (*alone[:3], 0)


def test_the_live_part_goes_on_between_steps(keep, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.0)
    whole = Count().to(9, torch.Generator().manual_seed(1))
    with pytest.raises(RuntimeError), keep():
        Count().to(9, torch.Generator().manual_seed(1), stop=5, error=RuntimeError)
    again = Count()
    with keep(resume=True):
        assert again.to(9, torch.Generator().manual_seed(1)) == whole
    assert again.steps == 9


@pytest.mark.parametrize("error", [KeyboardInterrupt, Terminated])
def test_a_signal_within_a_step_leaves_the_last_whole_state(keep, error, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.0)
    whole = Count().to(4, torch.Generator().manual_seed(1))
    with pytest.raises(error), keep():
        Count().to(4, torch.Generator().manual_seed(1), stop=2, error=error)
    with keep(resume=True):
        assert Count().to(4, torch.Generator().manual_seed(1)) == whole


def test_another_part_in_the_same_place_is_done_anew_with_all_behind_it(keep):
    def run(*names):
        done = []
        for name in names:
            current().confirm(name, {})
            list(current().rows(name, lambda name=name: iter([done.append(name)])))
        return done

    with keep():
        assert run("a", "b", "c") == ["a", "b", "c"]
    with keep(resume=True):
        assert run("a", "x", "c") == ["x", "c"]
    with keep(resume=True):
        assert run("a", "x", "c") == []


def test_rows_that_are_not_complete_are_not_kept(keep):
    with keep():
        assert list(current().rows("half", lambda: iter([1]), complete=lambda: False)) == [1]
    with keep(resume=True):
        assert list(current().rows("half", lambda: iter([1, 2]))) == [1, 2]


def test_what_a_row_consisted_of_is_removed(keep, tmp_path, monkeypatch):
    def rows():
        for number in range(3):
            yield from current().rows(f"inner {number}", lambda number=number: iter([number]))

    monkeypatch.setattr(module, "SECONDS", 0.0)
    with keep():
        assert list(current().rows("outer", rows)) == [0, 1, 2]
    assert len(list((tmp_path / "run").glob("parts-*"))) == 1


def test_the_clock_stands_still_between_runs(keep, monkeypatch):
    time = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: time[0])
    with keep():
        time[0] += 30
        list(current().rows("a", lambda: iter([1])))
        assert now() == 30
    time[0] += 1000
    with keep(resume=True):
        assert now() == 0
        list(current().rows("a", lambda: iter([1])))
        assert now() == 30
        time[0] += 5
        assert now() == 35


def test_other_data_are_refused(keep):
    with keep():
        current().confirm("samples", {"A": "1", "B": "2"})
    with pytest.raises(SourceError, match="B holds other samples than those that the run in"), keep(resume=True):
        current().confirm("samples", {"A": "1", "B": "3"})


REFUSED = {
    "nothing there": ({"resume": True}, None, UsageError, "holds no run to resume; leave out resume=True"),
    "a run there": ({}, {}, OutputError, "already holds a run; continue it with resume=True"),
    "other command": ({"resume": True, "command": "compare"}, {}, UsageError, "a run of wdist estimate, not of wdist compare"),
    "other settings": (
        {"resume": True, "settings": {**SETTINGS, "steps": 11}},
        {},
        UsageError,
        "a run with steps 10, but this one has steps 11",
    ),
    "new settings": (
        {"resume": True, "settings": {**SETTINGS, "budget": "1m"}},
        {},
        UsageError,
        "a run with no budget, but this one has budget 1m",
    ),
    "other version": ({"resume": True}, {"wdist": "0.0.1"}, UsageError, "a run of wdist 0.0.1, but this is wdist"),
    "other torch": ({"resume": True}, {"torch": "1.0"}, UsageError, "a run of torch 1.0, but this is torch"),
    "damaged": ({"resume": True}, b"{", SourceError, "is not a readable part of a checkpoint"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_folders_that_are_refused(case, keep, tmp_path):
    how, manifest, error, message = REFUSED[case]
    if manifest is not None:
        with keep():
            current().confirm("samples", {})
        path = tmp_path / "run" / MANIFEST
        content = manifest if isinstance(manifest, bytes) else json.dumps(json.loads(path.read_text()) | manifest).encode()
        path.write_bytes(content)
    with pytest.raises(error, match=message), keep(**how):
        raise AssertionError("nothing is done")


def test_a_folder_in_use_or_a_file_is_refused(keep, tmp_path):
    with keep(), pytest.raises(OutputError, match="is in use by another wdist"), keep():
        pass
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="is a file"), kept(tmp_path / "file", command="estimate", settings={}):
        pass
    with pytest.raises(UsageError, match="with checkpoint"), kept(None, resume=True, command="estimate", settings={}):
        pass


def test_a_run_that_fails_before_it_did_anything_leaves_nothing(keep, tmp_path):
    with pytest.raises(ValueError, match="bad input"), keep():
        raise ValueError("bad input")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_part_is_refused(keep, tmp_path):
    with keep():
        current().confirm("samples", {"A": "1"})
    (path,) = (tmp_path / "run").glob("parts-*")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(SourceError, match="is not a readable part"), keep(resume=True):
        pass


def test_a_full_disk_is_told_once_and_the_last_good_state_stays(keep, monkeypatch, tmp_path):
    told, written = [], module.atomic_write

    def full(path, content):
        raise OutputError(f"{path} was not written, because the disk is full")

    monkeypatch.setattr(module, "SECONDS", 0.0)
    with keep(warn=told.append):
        current().confirm("a", {})
        monkeypatch.setattr(module, "atomic_write", full)
        for name in ("b", "c"):
            current().confirm(name, {})
        monkeypatch.setattr(module, "atomic_write", written)
    assert len(told) == 1
    assert told[0].startswith("the run continues, but its state was not saved")
    with keep(resume=True):
        assert all(current().part(name).result is not None for name in "abc"), "they are saved once there is room"


VALUES = [
    None,
    1.0 / 3,
    float("inf"),
    "text",
    (1, [2.5, None], {"a": (True,), 3: "b"}),
    ReproducedNumber(row="a", ours=0.1, paper=(0.0, 1.0)),
]


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_values_come_back(value):
    assert unpacked(json.loads(json.dumps(packed(value, []))), []) == value


def test_tensors_and_arrays_come_back_bit_by_bit():
    value = {"x": torch.rand(3, 2, dtype=torch.float64), "y": (np.arange(4.0), torch.zeros(0)), "n": np.float64(0.1)}
    tensors = []
    again = unpacked(json.loads(json.dumps(packed(value, tensors))), tensors)
    assert torch.equal(again["x"], value["x"])
    np.testing.assert_array_equal(again["y"][0], value["y"][0])
    assert (again["y"][1].shape, again["n"]) == ((0,), 0.1)


@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 0, 3), (2, 2)], ids=str)
def test_arrays_come_back_from_text_in_their_shape(shape):
    value = np.arange(float(np.prod(shape))).reshape(shape)
    np.testing.assert_array_equal(from_text(as_text(value)), value)
    assert from_text(as_text(value)).shape == shape


@pytest.mark.parametrize(
    "tree",
    [
        {"class": "os:system", "fields": {}},
        {"class": "wdist.files:atomic_write", "fields": {}},
        {"class": "wdist.nowhere:X", "fields": {}},
        {"class": "wdist.checkpoints.checkpoint:Checkpoint", "fields": {}},
    ],
    ids=lambda tree: tree["class"],
)
def test_files_name_nothing_but_dataclasses_of_wdist(tree):
    with pytest.raises((ValueError, ImportError)):
        unpacked(tree, [])


def test_what_cannot_be_kept_is_our_mistake():
    with pytest.raises(TypeError, match="object cannot be saved"):
        packed(object(), [])


def test_settings_are_texts_and_numbers():
    from wdist.estimation.options import EstimateOptions

    found = settings_of(EstimateOptions.validated(steps=7, width=16, features=np.abs))
    assert (found["budget.steps"], found["settings.width"], found["metric"]) == (7, 16, "l2")
    assert json.loads(json.dumps(found)) == found


def test_errors_are_those_of_wdist():
    assert issubclass(SourceError, WdistError)
    assert not issubclass(Terminated, Exception)
