"""The sample sets hold what samples/README.md says, and the script beside them makes them."""

import subprocess
import sys

import h5py
import numpy as np
import pytest

COUNTS = {"digits.h5": 1797, "digits-low.h5": 901, "digits-high.h5": 896}


def images(path):
    with h5py.File(path) as file:
        assert list(file) == ["images"], "one dataset, so that the address needs no name"
        return file["images"][:]


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_images_are_sixteenths_between_zero_and_one(samples, name, count):
    """Units are as documented, and exact."""
    values = images(samples / name)
    assert values.shape == (count, 8, 8)
    assert values.dtype == np.float32
    assert values.min() == 0
    assert values.max() == 1
    assert np.array_equal(values * 16, np.round(values * 16))


def test_low_and_high_together_are_all_digits(samples):
    """No image is lost or used twice."""
    parts = np.concatenate([images(samples / "digits-low.h5"), images(samples / "digits-high.h5")])
    whole = images(samples / "digits.h5")
    assert np.array_equal(*(np.unique(x.reshape(len(x), -1), axis=0, return_counts=True)[0] for x in (parts, whole)))
    assert len(parts) == len(whole)


def test_all_samples_together_are_small(samples):
    """A clone stays quick."""
    assert sum(path.stat().st_size for path in samples.rglob("*") if path.is_file()) < 2_500_000


def test_the_script_makes_the_same_sets_again(samples, tmp_path):
    """Equal images; the generator has the same tensors (its weights are those of one epoch here)."""
    from safetensors.torch import load_file

    command = [sys.executable, samples / "make_samples.py", "--out", tmp_path, "--epochs", "1"]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    for name in COUNTS:
        assert np.array_equal(images(tmp_path / name), images(samples / name))
    made, kept = (load_file(folder / "digit_generator.safetensors") for folder in (tmp_path, samples))
    assert {key: value.shape for key, value in made.items()} == {key: value.shape for key, value in kept.items()}
