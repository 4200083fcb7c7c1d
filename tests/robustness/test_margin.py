"""Margins and the hinge loss, by their definitions."""

import pytest
import torch

from wdist.robustness.margin import hinge_loss, margin, margins


def test_margins_are_those_over_every_other_class():
    logits = torch.tensor([[3.0, 1.0, 2.5], [0.0, 2.0, -1.0]])
    assert margins(logits, torch.tensor([0, 2])).tolist() == [[float("inf"), 2.0, 0.5], [-1.0, -3.0, float("inf")]]
    assert margin(logits, torch.tensor([0, 2])).tolist() == [0.5, -3.0]


def test_the_hinge_loss_sums_what_each_margin_lacks():
    """Equation 4 term by term."""
    logits, labels, kappa = torch.tensor([[3.0, 1.0, 2.5], [0.0, 2.0, -1.0]]), [0, 2], 1.5
    by_hand = [sum(max(0.0, kappa - float(y[t] - y[i])) for i in range(3) if i != t) for y, t in zip(logits, labels, strict=True)]
    assert float(hinge_loss(logits, torch.tensor(labels), kappa=kappa)) == pytest.approx(sum(by_hand) / 2)


def test_the_hinge_loss_leaves_samples_with_enough_margin_alone(generator):
    logits = torch.randn(20, 4, generator=generator, requires_grad=True)
    labels = logits.argmax(1)
    hinge_loss(logits, labels, kappa=0.3).backward()
    wide = margin(logits.detach(), labels) >= 0.3
    assert bool((logits.grad[wide] == 0).all())
    assert bool((logits.grad[~wide] != 0).any(1).all())
