"""Polar factors of products against those of the product itself."""

import pytest
import torch

from wdist.lipschitz.linalg.orthonormalise import polar_express
from wdist.lipschitz.linalg.product_polar import product_polar


@pytest.mark.parametrize("shape", [(1, 5, 7), (3, 9, 4), (6, 12, 12), (8, 5, 3)], ids=str)
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_it_is_the_polar_factor_of_the_product(shape, scale, generator):
    n, outputs, inputs = shape
    D = scale * torch.randn(n, outputs, generator=generator, dtype=torch.float64)
    H = torch.randn(n, inputs, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(product_polar(D, H).mT @ H, polar_express(D.mT @ H), rtol=1e-6, atol=1e-8)


def test_float32_bears_a_product_of_low_rank(generator):
    """As of samples in the plane, whose later layers see little more than two directions."""
    D, h = torch.randn(2, 128, 64, generator=generator)
    H = h[:, :2] @ h[:2, :] + 1e-6 * h
    U = product_polar(D, H).mT @ H
    assert float(torch.linalg.matrix_norm(U, 2)) < 1.3


def test_nothing_stays_nothing():
    assert torch.equal(product_polar(torch.zeros(3, 4), torch.ones(3, 2)), torch.zeros(3, 4))
