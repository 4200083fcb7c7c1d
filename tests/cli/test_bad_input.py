"""Bad input from the command line: one sentence with the way out, status 2, no traceback, nothing left behind."""

import os
import pickle
import re
import sys
import zipfile

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.damage import full_disk

TINY = ("--steps", "20", "--baselines", "none", "--device", "cpu")


def gaussian(n=200, dim=4, shift=0.0):
    return np.random.default_rng(n + dim).normal(size=(n, dim)).astype(np.float32) + np.float32(shift)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty directory to stand in, with one good file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    np.save("good.npy", gaussian(shift=1.0))
    return tmp_path


@pytest.fixture
def refused(wdist, here):
    """Asserts that an estimation of a source against ``good.npy`` is refused in one sentence that holds all given words."""

    def check(address, *words, against="good.npy", options=TINY):
        before = sorted(os.listdir(here))
        answer = wdist("estimate", address, against, *options, "-o", "result.json", "--quiet")
        assert answer.status == 2, answer
        assert answer.out == ""
        assert len(answer.err.splitlines()) == 1, answer.err
        sentence = answer.error
        for word in words:
            assert word in sentence
        # The way out stands behind the last semicolon or in brackets.
        assert ";" in sentence or "(" in sentence, sentence
        assert sorted(os.listdir(here)) == before
        return sentence

    return check


def test_a_missing_file(refused):
    refused("missing.h5", "missing.h5")


@pytest.mark.parametrize("name", ["empty.h5", "empty.npy", "empty.npz", "empty.csv", "empty.pt", "empty.safetensors"])
def test_an_empty_file(refused, here, name):
    (here / name).touch()
    refused(name, name)


def write_h5(path, **datasets):
    with h5py.File(path, "w") as file:
        for name, values in datasets.items():
            file[name] = values


@pytest.mark.parametrize("suffix", ["h5", "npy", "npz", "pt", "safetensors"])
def test_a_truncated_file(refused, here, suffix):
    name = f"cut.{suffix}"
    values = gaussian(2000)
    match suffix:
        case "h5":
            write_h5(name, x=values)
        case "npy":
            np.save(name, values)
        case "npz":
            np.savez(name, x=values)
        case "pt":
            torch.save(torch.from_numpy(values), name)
        case "safetensors":
            save_file({"x": torch.from_numpy(values)}, name)
    content = (here / name).read_bytes()
    (here / name).write_bytes(content[: len(content) // 2])
    refused(name, name)


@pytest.mark.parametrize("suffix", ["h5", "npy", "npz", "pt", "safetensors"])
def test_a_file_of_another_format(refused, here, suffix):
    (here / f"story.{suffix}").write_text("once upon a time " * 100)
    refused(f"story.{suffix}", f"story.{suffix}")


def test_a_suffix_that_is_not_known(refused, here):
    (here / "data.xyz").write_text("1,2\n" * 100)
    refused("data.xyz", "data.xyz")


def test_a_wrong_dataset_name_lists_those_that_are_there(refused):
    write_h5("a.h5", first=gaussian(), second=gaussian())
    refused("a.h5:frist", "frist", "first", "second")


def test_several_datasets_and_no_name_lists_them(refused):
    write_h5("a.h5", first=gaussian(), second=gaussian())
    refused("a.h5", "first", "second", "a.h5:")


def test_several_arrays_of_an_npz_and_no_name_lists_them(refused):
    np.savez("a.npz", first=gaussian(), second=gaussian())
    refused("a.npz", "first", "second", "a.npz:")


def test_objects_are_refused_and_nothing_is_unpickled(refused, here):
    np.save("objects.npy", np.array([Trap(here / "sprung")] * 30, dtype=object), allow_pickle=True)
    refused("objects.npy", "objects.npy")
    assert not (here / "sprung").exists()


def test_strings_are_refused(refused):
    np.save("strings.npy", np.array(["a", "b"] * 30))
    refused("strings.npy", "strings")
    write_h5("strings.h5", x=[b"a", b"b"] * 30)
    refused("strings.h5", "strings")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=str)
def test_rows_that_are_not_finite_are_named_and_their_dropping_offered(refused, wdist, value):
    values = gaussian()
    values[17, 2] = values[40, 0] = value
    np.save("holes.npy", values)
    refused("holes.npy", "17", "40", "--drop-nonfinite")
    answer = wdist("estimate", "holes.npy", "good.npy", *TINY, "--drop-nonfinite")
    assert answer.status == 0, answer.err
    assert "2 rows that are not finite left out" in " ".join(answer.out.replace("│", " ").split())


def test_different_event_shapes_are_both_named(refused):
    np.save("wide.npy", gaussian(dim=5))
    refused("wide.npy", "5", "4", "wide.npy", "good.npy")


def test_constant_data(refused):
    np.save("constant.npy", np.full((200, 4), 3.0, dtype=np.float32))
    refused("constant.npy", "constant.npy", "synthetic:dirac?dim=4", against="constant.npy")
    refused("constant.npy", "constant.npy", "synthetic:dirac?dim=4")
    refused("good.npy", "constant.npy", against="constant.npy")


@pytest.mark.parametrize("n", [0, 1, 10])
def test_too_few_samples(refused, n):
    np.save("few.npy", gaussian(20)[:n])
    refused("few.npy", "few.npy")


def test_one_file_twice_gives_zero_with_a_word(wdist, here):
    answer = wdist("estimate", "good.npy", "./good.npy", *TINY)
    assert answer.status == 0
    assert answer.out.startswith("A and B are the same samples: W1 is 0.")
    assert re.search(r"\nsamples +W1 = 0 ", answer.out)
    assert "warning: " in answer.err


def test_ranges_that_look_like_two_scalings_are_refused_unless_a_range_is_given(refused, wdist):
    unit = np.random.default_rng(0).uniform(size=(200, 4)).astype(np.float32)
    np.save("unit.npy", unit)
    np.save("bytes.npy", np.floor(unit * 255).astype(np.float32))
    refused("bytes.npy", "range=", against="unit.npy")
    assert wdist("estimate", "bytes.npy?range=raw", "unit.npy?range=raw", *TINY).status == 0


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize("suffix", ["pt", "pth"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(refused, here, suffix):
    torch.save({"x": Trap(here / "sprung")}, f"trap.{suffix}")
    refused(f"trap.{suffix}", f"trap.{suffix}")
    (here / f"bare.{suffix}").write_bytes(pickle.dumps(Trap(here / "sprung")))
    refused(f"bare.{suffix}", f"bare.{suffix}")
    assert not (here / "sprung").exists()


def test_an_npz_bomb_is_refused_before_it_is_unpacked(refused):
    header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 4)))
    header["shape"] = (1 << 40, 4)
    with zipfile.ZipFile("bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x.npy", "w", force_zip64=True) as member:
        np.lib.format.write_array_header_1_0(member, header)
        for _ in range(64):
            member.write(bytes(1 << 20))
    refused("bomb.npz", "bomb.npz")


def test_a_directory_without_images(refused, here):
    (here / "images").mkdir()
    (here / "images" / "readme.txt").write_text("none")
    refused("images", "images")


def test_a_checkpoint_with_missing_keys(refused, here):
    (here / "nets.py").write_text("import torch\n\n\ndef Generator():\n    return torch.nn.Sequential(torch.nn.Linear(8, 4))\n")
    save_file({"0.weight": torch.zeros(4, 8)}, "gen.safetensors")
    address = "gen.safetensors?factory=nets:Generator&latent=normal:8"
    refused(address, "--trust")
    refused(address, "0.bias", options=(*TINY, "--trust"))
    torch.save({"0.weight": torch.zeros(4, 8)}, "gen.pt")
    refused("gen.pt?factory=nets:Generator&latent=normal:8", "0.bias", options=(*TINY, "--trust"))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there(refused):
    refused("good.npy", "cuda", "cpu", options=("--steps", "20", "--device", "cuda"))


def test_a_device_of_no_kind(refused):
    refused("good.npy", "device", options=("--steps", "20", "--device", "abacus"))


@pytest.mark.parametrize(("option", "value"), [("--baselines", "relu-magic"), ("--ci", "crystal-ball")])
def test_names_that_are_not_known_are_refused_with_those_that_are(refused, option, value):
    np.save("other.npy", gaussian())
    refused("other.npy", value, options=("--steps", "20", option, value))


@pytest.mark.parametrize("size", [1e30, 1e-30])
def test_tiny_and_huge_values_still_give_a_bound(wdist, here, size):
    np.save("a.npy", gaussian() * np.float64(size))
    np.save("b.npy", (gaussian(shift=3.0)) * np.float64(size))
    answer = wdist("estimate", "a.npy", "b.npy", *TINY, "--json")
    assert answer.status == 0, answer.err
    import json

    samples = json.loads(answer.out)["samples"]
    assert 0 < samples["lower"] <= samples["upper"]
    assert 0.1 < samples["upper"] / size < 100


def test_a_full_disk_while_saving_costs_no_result_and_leaves_no_half_written_file(wdist, here):
    np.save("other.npy", gaussian())
    before = sorted(os.listdir(here))
    with full_disk(200):
        answer = wdist(
            *("estimate", "other.npy", "good.npy", *TINY, "--quiet"),
            *("-o", "result.json", "--plot", "result.png", "--save-proof", "proof.safetensors"),
        )
    assert answer.status == 2
    assert "disk is full" in answer.error
    assert "<= W1" in answer.out
    assert sorted(os.listdir(here)) == before
