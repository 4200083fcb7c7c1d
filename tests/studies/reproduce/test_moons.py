"""Two moons: the hinge loss separates what the cross-entropy does not."""

import pytest
import torch

from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import moons


def test_moons_are_half_circles_of_radius_one_with_noise(generator):
    data = moons.two_moons(4000, generator)
    for label, centre in ((0, (0.0, 0.0)), (1, (1.0, 0.5))):
        x = data.x[data.labels == label] - torch.tensor(centre)
        radii = x.norm(dim=1)
        assert float(radii.mean()) == pytest.approx(1, abs=0.01)
        assert float(radii.std()) == pytest.approx(moons.NOISE, rel=0.1)
        inside = x[:, 1] if label == 0 else -x[:, 1]
        assert float(inside.min()) > -5 * moons.NOISE


def test_the_hinge_loss_separates_the_moons_and_the_cross_entropy_does_not(monkeypatch, conditions):
    monkeypatch.setattr(moons, "STEPS", 400)
    monkeypatch.setattr(moons, "_GRID", 41)
    result = find_study("reproduce", "moons").run(conditions)
    accuracy = {row.row: row.ours for row in result.rows if row.column == "test accuracy"}
    assert accuracy["cross-entropy"] < 95
    assert accuracy["hinge"] > 99
    for panel in result.conclusion.panels:
        boundary = next(series for series in panel.series if series.name == "boundary")
        assert len(boundary.x) > 10
