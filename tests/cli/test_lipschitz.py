"""``wdist lipschitz``: every format gives the same interval, and what cannot be proved is said."""

import json
import signal
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import wdist
from tests.bounds.lipschitz.networks import mlp
from wdist.bounds.lipschitz import constant
from wdist.cli.main import main
from wdist.report.documents.forms import model

SOURCE = """
from torch import nn

def mlp(width=6):
    return nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2))

def normalised():
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))

def convolution():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh())
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A network in each format, and points."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lip_models.py").write_text(SOURCE)
    network, sample = mlp(3, 6, 6, 2).float().eval(), torch.zeros(1, 3)
    save_file(network.state_dict(), "net.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save("net.ts")
        torch.export.save(torch.export.export(network, (sample,)), "net.pt2")
        torch.onnx.export(network, (sample,), "net.onnx", dynamo=False)
    torch.save(nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4)).state_dict(), "normalised.pt")
    torch.save(nn.Sequential(nn.Conv2d(1, 2, 3)).state_dict(), "convolution.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "convolution.pt").read_bytes()[:600])
    np.save("points.npy", np.random.default_rng(0).normal(size=(7, 3)))
    return tmp_path


FACTORY = "net.safetensors?factory=lip_models:mlp"


def document(capsys, *arguments):
    status = main(["lipschitz", *arguments, "--trust", "--json"])
    found = json.loads(capsys.readouterr().out)
    model("lipschitz").model_validate(found)
    return status, found


def test_all_formats_give_the_same_interval(folder, capsys):
    found = [document(capsys, name)[1] for name in (FACTORY, "net.ts", "net.pt2", "net.onnx")]
    assert [each["what"] for each in found] == ["weights of lip_models:mlp", "TorchScript", "torch.export", "ONNX"]
    for each in found:
        assert 0 < each["lower"] <= each["upper"] <= each["bounds"]["product"]
        assert each["upper"] == pytest.approx(found[0]["upper"], rel=1e-6)
        assert each["lower"] == pytest.approx(found[0]["lower"], rel=1e-6)
        assert (each["shape"], each["outputs"], each["parameters"]) == ([3], 2, 80)


def test_points_and_balls(folder, capsys):
    _, at_points = document(capsys, "net.ts", "--at", "points.npy")
    _, near = document(capsys, "net.ts", "--at", "points.npy", "--radius", "0.1", "--norm", "linf", "--points", "3")
    local = at_points["local"]
    assert (local["count"], local["radius"], len(local["uppers"])) == (7, 0, 7)
    np.testing.assert_allclose(local["uppers"], local["lowers"], rtol=1e-6)
    assert near["local"]["count"] == 3
    assert local["upper"] <= at_points["upper"]
    assert all(low <= high <= near["upper"] for low, high in zip(near["local"]["lowers"], near["local"]["uppers"], strict=True))


def test_an_operator_without_a_bound_leaves_the_lower_end(folder, capsys):
    status, found = document(capsys, "normalised.pt?factory=lip_models:normalised")
    assert status == 4
    assert found["upper"] is None
    assert found["lower"] > 0
    assert "contains the operator native_layer_norm" in found["obstacle"]
    main(["lipschitz", "normalised.pt?factory=lip_models:normalised", "--trust", "-q"])
    assert "no upper bound is proved" in capsys.readouterr().out


def test_the_text_names_the_interval_the_methods_and_the_layers(folder, capsys):
    assert main(["lipschitz", "net.ts", "--trust", "--at", "points.npy", "--radius", "0.5"]) == 0
    text = capsys.readouterr().out
    for words in ("The Lipschitz constant lies between", "semidefinite (LipSDP)", "linear 6x3", "within 0.5 of 7 points"):
        assert words in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.ts"], "add --trust"),
        (["net.ts", "--trust", "--radius", "1"], "--radius is the radius of balls around points"),
        (["net.ts", "--trust", "--norm", "l1"], "--norm 'l1' is unknown"),
        (["net.ts", "--trust", "--shape", "3x"], "--shape 3x is not a shape"),
        (["net.ts", "--trust", "--shape", "5"], "correct the shape of a sample"),
        (["points.npy", "--trust"], "holds no network that can be run"),
        (["cut.pt"], "cut.pt is damaged, cut short"),
        (["convolution.pt?factory=lip_models:convolution", "--trust"], "give it, as in --shape 3x32x32"),
        (["net.ts", "--trust", "--at", "synthetic:gaussian?dim=4"], "correct the shape of a sample"),
    ],
)
def test_mistakes_are_sentences(folder, capsys, arguments, message):
    assert main(["lipschitz", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_python_takes_modules(folder):
    network = mlp(3, 6, 6, 2)
    found = wdist.lipschitz_constant(network, at=torch.zeros(2, 3), radius=0.1)
    assert found.lower <= found.upper == min(found.bounds.values())
    assert repr(found).startswith("<LipschitzConstant: The Lipschitz constant lies between")
    assert found.to_dict()["model"] == "Sequential"
    with pytest.raises(wdist.WdistError, match="not a list"):
        wdist.lipschitz_constant([network])


class Function(nn.Module):
    """Any function of a batch."""

    def __init__(self, function, *layers):
        super().__init__()
        self.function, self.layers = function, nn.Sequential(*layers)

    def forward(self, x):
        return self.layers(self.function(x))


@pytest.mark.parametrize("stage", ["network_slope", "_local"])
def test_an_interrupted_search_keeps_what_is_proved(stage, folder, capsys, monkeypatch):
    def interrupted(*given, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(constant, stage, interrupted)
    status, found = document(capsys, "net.ts", "--at", "points.npy")
    assert (status, found["interrupted"], found["local"]) == (130, True, None)
    assert 0 <= found["lower"] <= found["upper"] < 10
    assert main(["lipschitz", "net.ts", "--trust", "--at", "points.npy"]) == 130
    assert "(interrupted)" in capsys.readouterr().out


def test_an_interrupted_search_without_an_upper_end_has_no_result(folder, capsys, monkeypatch):
    monkeypatch.setattr(constant, "network_slope", lambda *given, **options: signal.raise_signal(signal.SIGINT))
    assert main(["lipschitz", "normalised.pt?factory=lip_models:normalised", "--trust"]) == 130
    assert capsys.readouterr().out == ""


def test_casts_are_taken_as_exact():
    """A network is a function of exact numbers, although its code names a type that the others of its tensors lack."""
    layer = nn.Linear(4, 3)
    found = wdist.lipschitz_constant(Function(lambda x: x.half().float() / 2, layer))
    norm = float(torch.linalg.matrix_norm(layer.weight.detach().double(), 2)) / 2
    assert found.lower == pytest.approx(norm, rel=1e-6)
    assert found.upper == pytest.approx(norm, rel=1e-6)


def test_samples_of_a_search_do_not_affect_each_other():
    """For a single sample, the first is 0, and the second turns where the sum of its own entries changes its sign."""
    assert wdist.lipschitz_constant(Function(lambda x: x - x.mean(0, keepdim=True)), shape=(3,)).lower == 0
    found = wdist.lipschitz_constant(Function(lambda x: x if x.sum() > 0 else -x), shape=(3,))
    assert found.lower >= 1 - 1e-8
    assert (found.upper, found.exit_status) == (None, 4)
    assert "looks at the values of its input" in str(found)


def test_weights_that_hooks_compute_are_copied():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        module = nn.Sequential(nn.utils.weight_norm(nn.Linear(4, 3)))
    found = wdist.lipschitz_constant(module)
    assert found.lower == pytest.approx(found.upper, rel=1e-6)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_the_search_finds_the_norm_of_a_linear_network_with_many_outputs(norm):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 4, 3, stride=2)).double()
    J = torch.autograd.functional.jacobian(lambda x: module(x).flatten(), torch.zeros(1, 2, 7, 7).double()).flatten(1)
    exact = float(torch.linalg.matrix_norm(J, 2) if norm == "l2" else J.abs().sum(1).max())
    assert wdist.lipschitz_constant(module, norm=norm, shape=(2, 7, 7)).lower == pytest.approx(exact, rel=2e-3)
