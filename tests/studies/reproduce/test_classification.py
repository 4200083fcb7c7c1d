"""Tables 4 and 5: every cell has the paper's error beside its own, and every recipe does what its name says."""

import pytest
import torch
from torch import nn

from wdist.robustness.training import ClassifierNetwork, Labelled, LossSettings, fit_
from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import classification, little_data
from wdist.studies.reproduce.little_data import REGULARISERS, LeNet
from wdist.studies.reproduce.mnist import error_of

CPU = torch.device("cpu")


@pytest.fixture
def short(monkeypatch, blobs):
    """Small networks, and ten clouds instead of digits."""
    monkeypatch.setattr(classification, "QUICK_WIDTH", 16)
    for module, steps in ((classification, 30), (little_data, 2)):
        monkeypatch.setattr(module, "QUICK_STEPS", steps)
        monkeypatch.setattr(module, "digits", lambda conditions, train: blobs)


def test_table_4_has_all_cells_of_the_paper(short, conditions):
    result = find_study("reproduce", "table4").run(conditions)
    found = {(row.row, row.column): row for row in result.rows}
    assert len(found) == 7 * 5
    assert (found["Spectral Jac", "Maxout"].paper, found["L-infinity", "FullSort"].paper) == (1.02, 4.88)
    assert found["Björck", "MaxMin"].ours < 60, "it has learned something"
    assert all(0 <= row.ours <= 100 for row in result.rows)


def test_table_5_has_the_cells_of_its_sizes(short, conditions):
    result = find_study("reproduce", "table5").run(conditions)
    found = {(row.row, row.column): row.paper for row in result.rows}
    assert len(found) == 2 * 8
    assert found["300 images", "Björck, MaxMin"] == 7.81
    assert found["1000 images", "Dropout, ReLU"] == 3.70


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("name", ["Björck", "Spectral Norm", "L-infinity"])
def test_constrained_recipes_are_constrained(name, quick, generator, monkeypatch):
    monkeypatch.setattr(classification, "QUICK_WIDTH" if quick else "WIDTH", 16)
    recipe = classification.RECIPES[name]
    classifier = ClassifierNetwork(20, 10, recipe.network("maxmin", quick=quick), generator).frozen()
    norms = [
        layer.maximum(float("inf")).bound if name == "L-infinity" else layer.lipschitz().bound for layer in classifier.layers[::2]
    ]
    assert max(norms[:-1]) <= 1 + 1e-9
    assert norms[-1] == pytest.approx(recipe.constant(quick=quick), rel=1e-6)


def test_le_net_is_the_one_of_torch(generator):
    """The same weights in torch's own convolutions."""
    network = LeNet("relu", REGULARISERS["Standard"], generator).eval()
    first, second, *dense = network.linear
    x = torch.rand(3, 784, generator=generator)
    h = nn.functional.conv2d(x.view(3, 1, 28, 28), first.weight.view(6, 1, 5, 5), first.bias, padding=2).relu()
    h = nn.functional.conv2d(nn.functional.max_pool2d(h, 2), second.weight.view(16, 6, 5, 5), second.bias).relu()
    h = nn.functional.max_pool2d(h, 2).flatten(1)
    for layer in dense[:-1]:
        h = nn.functional.linear(h, layer.weight, layer.bias).relu()
    torch.testing.assert_close(network(x), nn.functional.linear(h, dense[-1].weight, dense[-1].bias))


@pytest.mark.parametrize("row", REGULARISERS)
def test_le_net_learns_under_every_regulariser(row, blobs):
    network = LeNet("maxmin", REGULARISERS[row], torch.Generator().manual_seed(0))
    few = Labelled(blobs.x[:200], blobs.labels[:200])
    fit_(network, few, LossSettings(steps=40, batch_size=50, learning_rate=0.005, weight_decay=REGULARISERS[row].weight_decay))
    assert error_of(network, blobs, CPU) < 0.5
    if row == "Björck":
        norms = [torch.linalg.matrix_norm(layer.weight.detach(), 2) for layer in network.linear]
        assert float(max(norms)) <= 1 + 1e-4
