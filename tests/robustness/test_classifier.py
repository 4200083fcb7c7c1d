"""Frozen classifiers: their rounding, their files, and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from wdist.errors import SourceError
from wdist.lipschitz.frozen_layer import Affine
from wdist.robustness.classifier import FORMAT, FrozenClassifier, load_classifier


def test_a_saved_classifier_is_the_same_function(trained, clouds, tmp_path):
    classifier, _ = trained
    classifier.save(tmp_path / "c.safetensors")
    loaded = load_classifier(tmp_path / "c.safetensors")
    assert torch.equal(loaded.evaluate(clouds.x).logits, classifier.evaluate(clouds.x).logits)
    assert loaded.evaluate(clouds.x).rounding == classifier.evaluate(clouds.x).rounding


def test_rounding_covers_the_difference_from_more_precise_numbers(trained, clouds):
    """Against the same layers in float32, whose own error is larger by the ratio of the units roundoff."""
    classifier, _ = trained
    evaluated = classifier.evaluate(clouds.x)
    in_float32 = classifier.function(torch.device("cpu"))(clouds.x).double()
    differences = (evaluated.logits - in_float32)[:, 1:] - (evaluated.logits - in_float32)[:, :1]
    assert 0 < evaluated.rounding < 1e-6 * float(evaluated.logits.abs().max())
    assert float(differences.abs().max()) <= evaluated.rounding * 2.0**29 * 4


def test_one_output_is_no_classifier():
    with pytest.raises(ValueError, match="at least two"):
        FrozenClassifier([Affine(weight=torch.ones(1, 2), bias=torch.zeros(1))], dim=2)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({}, "not a classifier that wdist saved"),
        ({"format": FORMAT}, "not a readable classifier"),
        ({"format": FORMAT, "classifier": "{"}, "not a readable classifier"),
        ({"format": FORMAT, "classifier": json.dumps({"layers": ["affine"], "dim": True})}, "structure"),
        ({"format": FORMAT, "classifier": json.dumps({"layers": ["affine"], "dim": 3})}, "do not match"),
        ({"format": FORMAT, "classifier": json.dumps({"layers": ["affine", "affine"], "dim": 2})}, "not a readable"),
        ({"format": FORMAT, "classifier": json.dumps({"layers": ["__import__"], "dim": 2})}, "unknown"),
    ],
)
def test_a_file_that_is_no_classifier_is_refused_in_a_sentence(metadata, words, tmp_path):
    path = tmp_path / "c.safetensors"
    tensors = {"layers.0.weight": torch.ones(2, 2, dtype=torch.float64), "layers.0.bias": torch.zeros(2, dtype=torch.float64)}
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(SourceError, match=words):
        load_classifier(path)


def test_numbers_that_nothing_uses_or_that_are_not_finite_are_refused(trained, tmp_path):
    path = tmp_path / "c.safetensors"
    trained[0].save(path)
    metadata = {
        "format": FORMAT,
        "classifier": json.dumps({"layers": [each.kind for each in trained[0].layers], "dim": trained[0].dim}),
    }
    tensors = load_file(path)
    save_file({**tensors, "extra": torch.zeros(1, dtype=torch.float64)}, path, metadata=metadata)
    with pytest.raises(SourceError, match="nothing uses its tensor extra"):
        load_classifier(path)
    tensors["layers.0.bias"][0] = float("nan")
    save_file(tensors, path, metadata=metadata)
    with pytest.raises(SourceError, match="not finite"):
        load_classifier(path)


def test_a_file_of_another_kind_is_not_taken_for_one(tmp_path):
    (tmp_path / "x.safetensors").write_bytes(b"nonsense")
    with pytest.raises(SourceError, match="not a readable classifier"):
        load_classifier(tmp_path / "x.safetensors")
