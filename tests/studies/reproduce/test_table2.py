"""Table 2, at sizes that take a second or two: the ten critics between data and a frozen generator."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import save_file

from wdist.errors import SourceError, TrustRequired, UsageError
from wdist.gan.generators import image_generator
from wdist.studies.reproduce import image_sets, table2
from wdist.studies.study import Conditions
from wdist.training.catalogue import CATALOGUE

STUDY = table2.STUDY


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """All trainings of one step or two, and of two seeds."""
    sizes = table2._Sizes(width=36, depth=3, steps=2, batch_size=16, seeds=2)
    monkeypatch.setattr(table2, "_QUICK", sizes)
    monkeypatch.setattr(table2, "_FULL", sizes)
    monkeypatch.setattr("wdist.data.measure.DRAWN_HELD_OUT", 600)
    monkeypatch.setattr(image_sets, "_ADDRESSES", {name: f"{{root}}/{name}.npy" for name in table2.VALUES})


@pytest.fixture
def folder(tmp_path):
    """Images that are called MNIST, and a generator of such."""
    np.save(tmp_path / "mnist.npy", np.random.default_rng(0).integers(0, 256, (150, 8, 8), dtype=np.uint8))
    save_file(image_generator("8x8", inputs=4, width=8).state_dict(), tmp_path / "g.safetensors")
    return tmp_path


def address(folder):
    return f"{folder}/g.safetensors?factory=wdist.gan.generators:image_generator&shape=8x8&inputs=4&width=8"


def test_the_numbers_are_the_papers():
    """Every row names a critic of the catalogue; the ratios are those of the rows."""
    assert set(table2.CRITICS) <= set(CATALOGUE)
    rows = list(table2.CRITICS)
    for column, ratio in table2.RATIOS.items():
        values = dict(zip(rows, table2.VALUES[column], strict=True))
        assert max(values["groupsort-4-bjorck"], values["groupsort-9-bjorck"]) / values["relu-spectral"] == pytest.approx(
            ratio, abs=0.05
        )
        assert len(table2.SPREADS[column]) == len(rows)


def test_the_quick_form_takes_the_generator_of_the_samples():
    result = STUDY.run(Conditions(quick=True, device="cpu"))
    assert {comparison.column for comparison in result.rows} == {"digits", "digits, ±"}
    assert len(result.rows) == 2 * 10 + 1
    assert all(comparison.paper is None for comparison in result.rows)
    assert result.conclusion.settings["digits generator"] == "from samples/"
    assert [len(series.y) for panel in result.conclusion.panels for series in panel.series] == [5, 5]


def test_a_generator_that_is_named_is_taken_and_missing_data_are_said(folder):
    result = STUDY.run(Conditions(device="cpu", data=folder, generators={"mnist": address(folder)}))
    compared = {(comparison.row, comparison.column): comparison for comparison in result.rows}
    assert compared["ReLU, spectral", "MNIST"].paper == 0.95
    assert compared["GroupSort(9), Björck", "MNIST, ±"].paper == 0.01
    assert compared["GroupSort, Björck / ReLU, spectral", "MNIST"].paper == 2.4
    assert compared["ReLU, Björck", "MNIST"].ours > 0
    assert compared["ReLU, Björck", "MNIST, ±"].ours > 0, "two seeds are two critics"
    assert len(result.conclusion.checks) == 3


def test_without_a_generator_one_is_trained_and_columns_without_data_are_left_out(folder, monkeypatch):
    trained = []

    def train(path, settings, **how):
        trained.append(settings.data)
        return type("Result", (), {"interrupted": False, "generator": address(folder)})

    monkeypatch.setattr(table2, "train_gan", train)
    result = STUDY.run(Conditions(device="cpu", data=folder))
    assert trained == [f"{folder}/mnist.npy"]
    assert {comparison.column for comparison in result.rows} == {"MNIST", "MNIST, ±"}
    assert any(remark.startswith("CIFAR10 was left out") for remark in result.conclusion.remarks)


@pytest.mark.parametrize(
    ("conditions", "error", "words"),
    [
        ({"data": Path("nowhere")}, SourceError, "root=DIR"),
        ({"sources": {"svhn": "a.npy"}}, UsageError, "no column 'svhn'"),
        ({"sources": {"mnist": "missing.npy"}}, SourceError, "does not exist"),
        ({"generators": {"mnist": "{folder}/g.safetensors?factory=os:getcwd"}}, TrustRequired, "trust=True"),
    ],
)
def test_what_cannot_be_compared_is_refused(folder, conditions, error, words):
    named = {
        name: value if isinstance(value, Path) else {k: v.format(folder=folder) for k, v in value.items()}
        for name, value in conditions.items()
    }
    with pytest.raises(error, match=words):
        STUDY.run(Conditions(device="cpu", **{"data": folder, **named}))
