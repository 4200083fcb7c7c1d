"""Figure 7: gradients by their definition, and what is measured of them."""

import pytest
import torch
from torch import nn

from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import gradients
from wdist.studies.reproduce.gradients import alignment, roughness, targeted_gradients


def test_targeted_gradients_are_those_of_each_image_and_target(generator):
    network = nn.Sequential(nn.Linear(784, 12), nn.Tanh(), nn.Linear(12, 10))
    x = torch.rand(3, 784, generator=generator)
    found = targeted_gradients(network, x)
    for n, target in ((0, 0), (1, 7), (2, 9)):
        one = x[n : n + 1].clone().requires_grad_()
        nn.functional.cross_entropy(network(one), torch.tensor([target])).backward()
        torch.testing.assert_close(found[n, target], one.grad[0], rtol=1e-4, atol=1e-7)


def test_roughness_tells_noise_from_a_slope(generator):
    noise = torch.randn(1, 1, 784, generator=generator)
    slope = torch.linspace(0, 1, 28).repeat(28, 1).reshape(1, 1, 784)
    assert float(roughness(noise)) == pytest.approx(4, rel=0.1)
    assert float(roughness(slope)) < 0.01


def test_alignment_is_one_for_the_way_to_the_mean(generator):
    x, means = torch.rand(2, 784, generator=generator), torch.rand(10, 784, generator=generator)
    assert alignment(-(means - x[:, None]) * 5, x, means) == pytest.approx(torch.ones(2, 10))


def test_the_figure_shows_images_above_ten_gradients(monkeypatch, blobs, conditions):
    monkeypatch.setattr(gradients, "QUICK_WIDTH", 32)
    monkeypatch.setattr(gradients, "QUICK_STEPS", 60)
    monkeypatch.setattr(gradients, "digits", lambda conditions, train: blobs)
    result = find_study("reproduce", "figure7").run(conditions)
    assert [panel.title for panel in result.conclusion.panels] == ["standard", "Lipschitz"]
    for panel in result.conclusion.panels:
        assert panel.pixels.shape == (11 * 28, 5 * 28)
        assert abs(panel.pixels).max() == pytest.approx(1)
        assert panel.pixels[:28].min() >= 0
    assert {row.row for row in result.rows} == {"standard", "Lipschitz"}
    assert all(-1 <= row.ours <= 4.5 for row in result.rows)
