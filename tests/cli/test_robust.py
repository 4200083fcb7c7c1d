"""``wdist robust``: the table, the exit statuses of a gate, the document and the figure, and what is refused."""

import json

import h5py
import numpy as np
import pytest
import torch

from wdist.lipschitz.frozen_layer import Affine
from wdist.report.documents.forms import model
from wdist.robustness.classifier import FrozenClassifier


@pytest.fixture
def files(tmp_path):
    """The class is the sign of the first coordinate; of four samples one is wrong and one near the boundary."""
    layer = Affine(weight=torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), bias=torch.zeros(2))
    FrozenClassifier([layer], dim=2).save(tmp_path / "model.safetensors")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.array([[2.0, 0.0], [0.2, 1.0], [-3.0, 0.0], [1.0, 0.0]])
        file["labels"] = np.array([0, 0, 1, 1])
    return "model.safetensors", "data.h5"


def test_the_three_errors_are_shown(wdist, files):
    answer = wdist("robust", *files, "--eps", "0.5", "--quiet")
    assert answer.status == 0
    assert "50.00 % of 4 samples are misclassified under the worst perturbations up to 0.5 in the Euclidean norm" in " ".join(
        answer.out.split()
    )
    rows = {line.split()[0]: line for line in answer.out.splitlines() if line.strip()}
    assert "25.0 %" in rows["clean"]
    assert "50.0 %" in rows["attacked"]
    assert "50.0 %" in rows["certified"]
    assert answer.err == ""


@pytest.mark.parametrize(
    ("arguments", "status", "word"),
    [
        (("--min", "0.5"), 0, "PASS"),
        (("--min", "0.6"), 1, "FAIL"),
        (("--min", "0.6", "--iterations", "0"), 3, "INCONCLUSIVE"),
    ],
)
def test_the_exit_status_is_that_of_a_gate(wdist, files, arguments, status, word):
    answer = wdist("robust", *files, "--eps", "0.5", "--norm", "linf", *arguments)
    assert answer.status == status
    assert answer.out.startswith(f"{word}: the accuracy ")


def test_the_document_fits_its_schema_and_the_figure_is_drawn(wdist, files, tmp_path):
    answer = wdist("robust", *files, "--eps", "0.5", "--min", "0.6", "--json", "-o", "r.json", "--plot", "r.png")
    document = json.loads(answer.out)
    assert document == json.loads((tmp_path / "r.json").read_text())
    model("robust").model_validate(document)
    assert (document["verdict"], document["certified_error"]) == ("fail", 0.5)
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_any_network_is_certified_once_its_code_is_trusted(wdist, files, tmp_path):
    (tmp_path / "nets.py").write_text("import torch\n\n\ndef line():\n    return torch.nn.Sequential(torch.nn.Linear(2, 2))\n")
    weights = {"0.weight": torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), "0.bias": torch.zeros(2)}
    torch.save(weights, tmp_path / "w.pt")
    how = ("robust", "w.pt?factory=nets.py:line", "data.h5", "--eps", "0.5", "--min", "0.5")
    assert "--trust" in wdist(*how).error
    answer = wdist(*how, "--trust")
    assert answer.status == 0
    assert answer.out.startswith("PASS: ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("none.safetensors", "data.h5", "--eps", "0.5"), "does not exist"),
        (("data.h5", "data.h5", "--eps", "0.5"), "not a saved classifier"),
        (("model.safetensors", "data.h5:labels", "--eps", "0.5"), "takes 2"),
        (("model.safetensors", "data.h5", "--eps", "-1"), "--eps must be finite"),
        (("model.safetensors", "data.h5", "--eps", "1", "--norm", "l3"), "--norm l3 is unknown"),
        (("model.safetensors", "data.h5", "--eps", "1", "--min", "95"), "such as 0.9"),
        (("model.safetensors", "data.h5"), "--eps"),
        (("model.safetensors", "data.h5", "--eps", "1", "-o", "data.h5"), "one of the inputs"),
    ],
)
def test_what_cannot_be_done_is_refused_in_a_sentence(wdist, files, arguments, words):
    answer = wdist("robust", *arguments)
    assert answer.status == 2
    assert words in answer.error
    assert answer.out == ""
