"""Norms into the maximum norm: above the exact one, and hardly."""

import math
from fractions import Fraction

import pytest
import torch

from wdist.errors import CertificateError
from wdist.lipschitz.linalg.induced_norms import to_maximum_norm_bound


@pytest.mark.parametrize("scale", [1e-300, 1e-20, 1.0, 1e20, 1e300])
@pytest.mark.parametrize("shape", [(1, 1), (3, 40), (20, 5)], ids=str)
@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_it_is_above_rational_arithmetic_by_little(p, shape, scale, generator):
    W = scale * torch.randn(*shape, generator=generator, dtype=torch.float64)
    bound = Fraction(to_maximum_norm_bound(W, p))
    rows = [[abs(Fraction(w)) for w in row] for row in W.tolist()]
    if p == 2:
        exact = max(sum(w * w for w in row) for row in rows)
        assert exact <= bound**2 <= exact * (1 + Fraction(1, 10**12))
    else:
        exact = max(max(row) if p == 1 else sum(row) for row in rows)
        assert exact <= bound <= exact * (1 + Fraction(1, 10**12))


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_extremes(p):
    assert to_maximum_norm_bound(torch.zeros(3, 2), p) == 0
    assert to_maximum_norm_bound(torch.tensor([[5e-324]], dtype=torch.float64), p) >= 5e-324
    for wrong in (math.nan, math.inf):
        with pytest.raises(CertificateError):
            to_maximum_norm_bound(torch.tensor([[wrong, 1.0]]), p)


@pytest.mark.parametrize("p", [1, 2, math.inf])
def test_no_vector_is_stretched_by_more(p, generator):
    W = torch.randn(6, 11, generator=generator, dtype=torch.float64)
    x = torch.randn(2000, 11, generator=generator, dtype=torch.float64)
    ratio = (x @ W.mT).abs().amax(1) / torch.linalg.vector_norm(x, ord=p, dim=1)
    assert float(ratio.max()) <= to_maximum_norm_bound(W, p)
