"""Projections onto balls: inside, nearest, and the identity on the ball."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from wdist.lipschitz.constraints import project_to_ball, project_to_simplex


@pytest.fixture
def Y(generator):
    rows = torch.randn(40, 9, generator=generator, dtype=torch.float64) * torch.logspace(-2, 2, 40, dtype=torch.float64)[:, None]
    rows[:4] = torch.tensor([0.0, 1.0, -1.0, 1 / 9], dtype=torch.float64)[:, None]  # ties
    return rows


@pytest.mark.parametrize("q", [1, 2, math.inf])
def test_the_projection_is_in_the_ball_and_nearest(q, Y, generator):
    """The variational inequality: <y - p, v - p> <= 0 for every v of the ball."""
    p = project_to_ball(Y, q)
    norms = torch.linalg.vector_norm(p, ord=q, dim=1)
    assert float(norms.max()) <= 1 + 1e-12
    inside = torch.linalg.vector_norm(Y, ord=q, dim=1) <= 1
    assert torch.equal(p[inside], Y[inside])
    assert norms[~inside].numpy() == pytest.approx(1, rel=1e-12)
    for _ in range(200):
        v = torch.randn(Y.shape, generator=generator, dtype=Y.dtype).sign() * torch.rand(Y.shape, generator=generator) ** 4
        v = v / torch.linalg.vector_norm(v, ord=q, dim=1, keepdim=True)
        assert float(((Y - p) * (v - p)).sum(1).max()) <= 1e-9
    corners = torch.eye(9, dtype=Y.dtype)
    for corner in (*corners, *-corners):
        assert float(((Y - p) * (corner - p)).sum(1).max()) <= 1e-9


def test_the_projection_onto_the_simplex_agrees_with_a_solver(Y):
    """Compared with a general optimiser."""
    for y in Y[5:30:5].numpy():
        found = project_to_simplex(torch.from_numpy(y))
        solved = minimize(
            lambda x, y=y: ((x - y) ** 2).sum() / (1 + (y**2).sum()),
            np.full(9, 1 / 9),
            bounds=[(0, 1)] * 9,
            constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            options={"ftol": 1e-14, "maxiter": 500},
        )
        assert float(found.sum()) == pytest.approx(1, rel=1e-12)
        assert float((found - torch.from_numpy(y)).norm()) <= np.linalg.norm(solved.x - y) * (1 + 1e-5)


def test_the_projection_keeps_signs_and_does_not_grow(Y):
    p = project_to_ball(Y, 1)
    assert bool((p * Y >= 0).all())
    assert bool((p.abs() <= Y.abs()).all())
