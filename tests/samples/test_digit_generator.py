"""The generator loads its checkpoint, and draws images that are nearer to digits than noise is."""

import json
import subprocess
import sys

import h5py
import numpy as np
import ot
import pytest
import torch
from safetensors.torch import load_file

from samples.digit_generator import DigitGenerator

ADDRESS = "samples/digit_generator.safetensors?factory=samples.digit_generator:DigitGenerator&latent=normal:16"


@pytest.fixture(scope="module")
def generator_of_digits(samples):
    generator = DigitGenerator()
    generator.load_state_dict(load_file(samples / "digit_generator.safetensors"))
    return generator.eval()


@torch.no_grad()
def test_images_have_the_shape_and_range_of_the_sample_sets(generator_of_digits, generator):
    images = generator_of_digits(torch.randn(10, 16, generator=generator))
    assert images.shape == (10, 8, 8)
    assert images.min() >= 0
    assert images.max() <= 1


@torch.no_grad()
def test_generated_digits_are_about_as_near_to_the_digits_as_other_digits_are(generator_of_digits, samples, generator):
    """Exact W1 on 600 samples a side, in units of the one between two halves of the real images."""
    with h5py.File(samples / "digits.h5") as file:
        real = file["images"][:].reshape(-1, 64).astype(np.float64)
    drawn = generator_of_digits(torch.randn(600, 16, generator=generator)).flatten(1).double().numpy()
    unit = exact_w1(real[0::3], real[1::3])
    assert exact_w1(real[0::3], drawn) < 1.2 * unit
    pixels_alone = np.random.default_rng(0).permuted(real[1::3], axis=0)
    assert exact_w1(real[0::3], pixels_alone) > 1.2 * unit


def exact_w1(x, y):
    return ot.emd2([], [], ot.dist(x, y, metric="euclidean"))


def test_the_command_line_estimates_it_against_the_real_digits(repository):
    """As samples/README.md shows it, with few steps and fewer images."""
    command = [sys.executable, "-m", "wdist", "estimate", "samples/digits.h5?limit=300", ADDRESS, "--trust"]
    options = ["--steps", "30", "--baselines", "none", "--quiet", "--json"]
    done = subprocess.run([*command, *options], cwd=repository, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["samples"]["n_a"] == 300
    assert document["samples"]["lower"] <= document["samples"]["upper"]


def test_the_command_line_does_not_run_the_factory_unasked(repository):
    """A factory is code: without --trust it is refused, and the way out is named."""
    command = [sys.executable, "-m", "wdist", "estimate", "samples/digits.h5", ADDRESS, "--steps", "10"]
    done = subprocess.run(command, cwd=repository, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2
    assert done.stdout == ""
    assert "--trust" in done.stderr
    assert "Traceback" not in done.stderr
