"""``wdist inspect`` says what is there."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A directory with an array that has a row with NaN, a duplicate and a constant feature."""
    monkeypatch.chdir(tmp_path)
    values = np.random.default_rng(0).normal(size=(50, 2, 3)).astype(np.float32)
    values[:, 0, 0] = 1
    values[7] = values[3]
    values[11, 1, 1] = np.nan
    np.save("a.npy", values)
    return tmp_path


def test_kind_count_shape_type_range_and_faults_are_told(wdist, here):
    answer = wdist("inspect", "a.npy", "--json")
    assert (answer.status, answer.err) == (0, "")
    facts = json.loads(answer.out)
    assert (facts["kind"], facts["samples"], facts["event_shape"], facts["dtype"]) == ("array", 50, [2, 3], "float32")
    assert facts["nonfinite_rows"] == 1
    assert facts["first_nonfinite"] == [11]
    assert facts["duplicate_rows"] == 1
    assert facts["constant_features"] == 1
    assert facts["minimum"] < 0 < facts["maximum"]


def test_the_text_fits_80_columns(wdist, here):
    answer = wdist("inspect", "a.npy")
    assert max(len(line) for line in answer.out.splitlines()) <= 80
    assert "2x3" in answer.out


def test_of_a_checkpoint_the_keys_and_what_is_missing_are_told(wdist, here):
    save_file({"0.weight": torch.zeros(4, 8), "0.bias": torch.zeros(4)}, "gen.safetensors")
    answer = wdist("inspect", "gen.safetensors")
    assert answer.status == 0
    assert "0.weight" in answer.out
    assert "0.bias" in answer.out


def test_a_source_that_cannot_be_read_is_one_sentence(wdist, here):
    answer = wdist("inspect", "missing.h5")
    assert answer.status == 2
    assert "missing.h5" in answer.error


@pytest.mark.parametrize("width", [80, 120])
def test_a_table_is_described_column_by_column(wdist, here, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for name in ("a", "b"):
        values = np.random.default_rng(len(name)).normal(size=60)
        lines = [f"{x:.3f},{'NA' if k == 5 else 'uvw'[k % 3]},2024-01-{1 + k % 28:02d}" for k, x in enumerate(values)]
        (here / f"{name}.csv").write_text("\n".join(["size,kind,day", *lines]) + "\n")
    answer = wdist("inspect", "a.csv", "b.csv")
    assert answer.status == 0
    assert max(len(line) for line in answer.out.splitlines()) <= width
    for word in ("column", "missing", "distinct", "share", "median", "category", "2024-01-", "w 32.2 %"):
        assert word in answer.out
    assert ("IQR" in answer.out) or width == 80
    document = json.loads(wdist("inspect", "a.csv", "--json").out)
    assert [column["type"] for column in document["columns"]] == ["number", "category", "date"]
