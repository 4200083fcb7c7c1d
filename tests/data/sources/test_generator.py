"""Generators: what is read off them, what must be trusted, and how a checkpoint that does not fit is refused."""

import sys

import pytest
import torch
from safetensors.torch import save_file

from tests.data.sources.conftest import FACTORY, GENERATORS, refused, write_convolutional, write_dense, write_torchscript
from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError, TrustRequired

TRUST = Access(trust=True)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("write", GENERATORS.values(), ids=GENERATORS)
def test_nothing_that_could_run_code_is_opened_without_trust(write, tmp_path):
    address = write(tmp_path)
    (tmp_path / "nets.py").write_text("raise SystemExit('this was run')")
    assert isinstance(refused(address, "trust=True"), TrustRequired)


def test_size_of_the_latent_is_read_off_the_network(tmp_path):
    assert str(open_source(write_dense(tmp_path), TRUST).latent) == "normal:4"
    assert str(open_source(write_torchscript(tmp_path), TRUST).latent) == "normal:4"
    without = write_convolutional(tmp_path).replace("&latent=uniform:5", "")
    assert str(open_source(without, TRUST).latent) == "normal:5x1x1"


def test_a_vector_latent_becomes_channels_where_the_network_wants_them(tmp_path):
    source = open_source(write_convolutional(tmp_path), TRUST)
    assert str(source.latent) == "uniform:5x1x1"
    assert source.info.event_shape == (6, 6, 3)
    draws = source.draw(100, seeded(0))
    assert 0 <= draws.min()
    assert draws.max() <= 1
    assert (source.info.scale, source.info.offset) == (1.0, 0.0), "draws come in units already"


@pytest.mark.parametrize(
    ("latent", "low", "high"),
    [("normal:4", -6, 6), ("uniform:4", -1, 1), ("uniform01:4", 0, 1), ("4", -6, 6), ("normal:2x2", -6, 6)],
)
def test_latents_follow_the_law_that_the_address_names(latent, low, high, tmp_path):
    save_file({"w": torch.ones(1)}, tmp_path / "w.safetensors")
    (tmp_path / "identity.py").write_text(
        "import torch\nclass Identity(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.w = torch.nn.Parameter(torch.zeros(1))\n"
        "    def forward(self, z):\n        return z * self.w\n"
    )
    source = open_source(f"{tmp_path}/w.safetensors?factory={tmp_path}/identity.py:Identity&latent={latent}", TRUST)
    draws = source.draw(2000, seeded(0))
    assert draws.shape == (2000, 4)
    assert low <= draws.min() < low / 2 + 0.2
    assert high / 3 - 0.2 < draws.max() <= high


def test_draws_are_those_of_the_network_in_evaluation_mode(tmp_path):
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Dropout(0.5)).train()
    torch.jit.script(network).save(str(tmp_path / "net.pt"))
    source = open_source(tmp_path / "net.pt", TRUST)
    z = source.latent.draw(700, seeded(1))
    assert torch.allclose(source.draw(700, seeded(1)), network.eval()(z), atol=1e-6)


def test_a_factory_is_found_in_the_current_folder_and_the_search_path_is_left_alone(tmp_path, monkeypatch):
    address = write_dense(tmp_path)
    (tmp_path / "wdist_test_nets.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    source = open_source("dense.safetensors?factory=wdist_test_nets:Dense&hidden=8&latent_dim=4", TRUST)
    assert sys.path == before
    assert torch.equal(source.draw(5, seeded(0)), open_source(address, TRUST).draw(5, seeded(0)))
    del sys.modules["wdist_test_nets"]


@pytest.mark.parametrize("wrap", [lambda w: {"model": w, "step": 3}, lambda w: {f"module.{k}": v for k, v in w.items()}])
def test_weights_are_found_where_training_scripts_leave_them(wrap, tmp_path):
    address = write_dense(tmp_path)
    from safetensors.torch import load_file

    torch.save(wrap(load_file(tmp_path / "dense.safetensors")), tmp_path / "dense.pt")
    wrapped = open_source(address.replace("dense.safetensors", "dense.pt"), TRUST)
    assert torch.equal(wrapped.draw(5, seeded(0)), open_source(address, TRUST).draw(5, seeded(0)))


def test_of_two_state_dicts_one_is_named(tmp_path):
    weights = {"w": torch.zeros(1)}
    torch.save({"G": weights, "D": weights}, tmp_path / "both.pt")
    refused(f"{tmp_path}/both.pt?factory=x:Y", r"several state dicts \(G, D\); name one: .*both.pt:G", TRUST)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("Dense", "Convolutional"), "net.0.bias is 8 in the file but 3 in the network"),
        (("Dense", "Dense&hidden=9"), "net.0.bias is 8 in the file but 9 in the network"),
        (("Dense", "Dense&hiden=9"), "did you mean 'hidden'"),
        (("Dense", "Dense&hidden=many"), "failed|cannot be called"),
        (("Dense", "Dens"), "has no 'Dens'; did you mean 'Dense'"),
        (("nets.py", "nots.py"), "cannot be imported"),
        (("nets.py:Dense", "no.such.package:Dense"), "cannot be imported"),
        (("nets.py:Dense", "nets"), "not package.module:Class"),
        (("Dense", "not_a_module"), "returned a int"),
        (("Dense", "FACTORY"), "has no 'FACTORY'"),
        (("Dense", "Dense&latent=normal:7"), "failed on latents normal:7 .*seems to take 4"),
        (("Dense", "Dense&latent=norml:4"), "did you mean 'normal'"),
        (("Dense", "Dense&latent=normal:x"), "no size"),
        (("Dense", "Dense&range=unit"), "stored="),
    ],
)
def test_what_does_not_fit_is_refused(change, words, tmp_path):
    refused(write_dense(tmp_path).replace(*change), words, TRUST)


class Both(torch.nn.Module):
    def forward(self, z, labels):
        return z + labels


def test_a_conditional_network_is_told_from_a_wrong_latent(tmp_path):
    address = write_dense(tmp_path)
    text = (tmp_path / "nets.py").read_text()
    (tmp_path / "nets.py").write_text(text + "\n\nclass Conditional(Dense):\n    def forward(self, z, labels):\n        return z\n")
    words = r"takes 2 inputs \(z, labels\), not one batch of latents; give one that sets or draws the others itself"
    refused(address.replace("Dense", "Conditional"), words, TRUST)
    scripted = torch.jit.trace(Both(), (torch.zeros(1, 4), torch.zeros(1, 4)))
    scripted.save(tmp_path / "both.ts")
    refused(f"{tmp_path}/both.ts", r"TorchScript: the network takes 2 inputs \(z, labels\)", TRUST)


def test_missing_keys_are_named(tmp_path):
    write_dense(tmp_path)
    save_file({"net.0.weight": torch.zeros(8, 4), "extra": torch.zeros(1)}, tmp_path / "few.safetensors")
    words = r"lacks net\.0\.bias, net\.3\.weight, net\.3\.bias and has the unexpected extra"
    refused(f"{tmp_path}/few.safetensors?factory={tmp_path}/nets.py:Dense", words, TRUST)


def test_an_output_that_is_not_finite_is_refused(tmp_path):
    write_dense(tmp_path)
    weights = {"net.weight": torch.zeros(6, 4), "net.bias": torch.zeros(6)}
    save_file(weights, tmp_path / "b.safetensors")
    refused(f"{tmp_path}/b.safetensors?factory={tmp_path}/nets.py:Broken", "NaN or infinity", TRUST)


def test_a_network_that_mixes_its_batch_up_is_refused(tmp_path):
    torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Flatten(0))).save(str(tmp_path / "flat.ts"))
    refused(f"{tmp_path}/flat.ts", "one sample per latent", TRUST)


def test_a_network_that_says_nothing_of_its_latent_asks_for_it(tmp_path):
    torch.jit.script(torch.nn.Sequential(torch.nn.Tanh())).save(str(tmp_path / "tanh.ts"))
    refused(f"{tmp_path}/tanh.ts", r"add \?latent=normal:64", TRUST)
    assert open_source(f"{tmp_path}/tanh.ts?latent=normal:3", TRUST).info.dim == 3


@pytest.mark.parametrize("suffix", ["ts", "pt2", "onnx"])
def test_damaged_programs_are_refused(suffix, tmp_path):
    (tmp_path / f"x.{suffix}").write_bytes(b"no such thing" * 100)
    refused(f"{tmp_path}/x.{suffix}", f"x.{suffix}", TRUST)


def test_code_in_the_weights_of_a_trusted_factory_is_still_refused(tmp_path):
    """Trust is given to the factory; a pickle that runs code is no weights."""
    write_dense(tmp_path)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "whole.pt")
    refused(f"{tmp_path}/whole.pt?factory={tmp_path}/nets.py:Dense", "code", TRUST)


def test_arguments_without_a_factory_are_refused(tmp_path):
    refused(f"{write_torchscript(tmp_path)}?hidden=3", "no option 'hidden'", TRUST)


@pytest.mark.parametrize("offset", [2**24 + 1, 2**53])
def test_integers_of_a_generator_are_exact_or_refused(offset, tmp_path):
    (tmp_path / "count.py").write_text(
        "import torch\n"
        "class Count(torch.nn.Linear):\n"
        "    def forward(self, z):\n"
        f"        return torch.zeros(len(z), 2, dtype=torch.int64) + {offset}\n"
    )
    torch.save(torch.nn.Linear(3, 2).state_dict(), tmp_path / "count.pt")
    address = f"{tmp_path}/count.pt?factory={tmp_path}/count.py:Count&in_features=3&out_features=2"
    source = open_source(address, Access(trust=True))
    if offset < 2**53:
        assert (source.draw(5, torch.Generator().manual_seed(0)) == offset).all()
    else:
        with pytest.raises(SourceError, match="float64 cannot distinguish neighbours"):
            source.draw(5, torch.Generator().manual_seed(0))
