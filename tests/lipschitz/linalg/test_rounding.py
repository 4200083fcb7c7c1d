"""Rounding: constants as in the literature, and precisions of products that hold only inside a block."""

import math
from fractions import Fraction

import pytest
import torch

from wdist.lipschitz.linalg.rounding import (
    UNIT_ROUNDOFF,
    best_up_to_rounding,
    float32_products,
    gamma,
    norm_above,
    product_above,
    sum_above,
    tf32_products,
)


def precisions():
    return torch.backends.cuda.matmul.fp32_precision, torch.backends.mkldnn.matmul.fp32_precision


@pytest.mark.parametrize(("setting", "inside"), [(tf32_products, "tf32"), (float32_products, "ieee")])
def test_a_precision_holds_inside_and_not_after(setting, inside):
    before = precisions(), torch.get_float32_matmul_precision()

    def fail_inside():
        with setting():
            assert set(precisions()) == {inside}
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert (precisions(), torch.get_float32_matmul_precision()) == before


def test_the_inner_precision_counts():
    with tf32_products(), float32_products():
        assert set(precisions()) == {"ieee"}


def test_what_the_caller_chose_for_one_backend_is_no_obstacle():
    """With such a choice, torch refuses to tell the precision of all backends."""
    before = torch.backends.cuda.matmul.fp32_precision
    torch.backends.cuda.matmul.fp32_precision = "tf32"
    try:
        with float32_products():
            assert set(precisions()) == {"ieee"}
        assert torch.backends.cuda.matmul.fp32_precision == "tf32"
    finally:
        torch.backends.cuda.matmul.fp32_precision = before


def test_gamma_agrees_with_the_literature():
    assert UNIT_ROUNDOFF == 2.0**-53
    assert gamma(0) == 0
    assert gamma(100) == pytest.approx(100 * 2.0**-53, rel=1e-12)
    assert gamma(100) > 100 * 2.0**-53


@pytest.mark.parametrize(
    ("values", "best"),
    [
        ([1.0, 1.0 + 1e-12, 0.5], 0),
        ([1.0, 1.0 + 1e-6, 0.5], 1),
        ([-1.0 - 1e-12, -1.0], 0),
        ([-2.0, -1.0, 0.0], 2),
        ([0.0, 0.0, 5e-324], 2),
        ([math.inf, math.inf], 0),
        ([3.0], 0),
    ],
)
def test_the_first_of_values_that_are_equal_up_to_rounding_is_the_best(values, best):
    assert best_up_to_rounding(range(len(values)), lambda i: values[i]) == best


FACTORS = [
    (0.1, 0.1),
    (1e-200, 1e-200, 1e200, 1e200),
    (5e-324, 1e300),
    (1e-162, 1.9e-162, 1e300),
    (3.0, 0.0),
    (1e300, 1e300),
    (0.3, 0.7, 1.1, 1e-310),
]


@pytest.mark.parametrize("factors", FACTORS, ids=str)
def test_products_and_sums_are_never_below_the_exact_ones(factors):
    exact = [Fraction(factor) for factor in factors]
    product, total = product_above(*factors), sum_above(*factors)
    assert math.isinf(product) or Fraction(product) >= math.prod(exact)
    assert Fraction(total) >= sum(exact)
    if 1e-300 < math.prod(factors) < 1e300:
        assert product <= math.prod(factors) * (1 + 1e-14)
    assert total <= sum(factors) * (1 + 1e-14)


def test_what_is_not_known_is_infinite():
    for unknown in (math.nan, math.inf):
        assert product_above(0.0, unknown) == math.inf
        assert sum_above(1.0, unknown) == math.inf
    assert product_above(0.0, 1e300) == sum_above(0.0, 0.0) == 0
    assert sum_above(1.7e308, 1.7e308) == math.inf


@pytest.mark.parametrize("scale", [0.0, 5e-324, 1e-170, 1e-100, 1.0, 1e150, 1e200, math.nan])
def test_norms_are_never_below_the_exact_ones(scale, generator):
    x = scale * torch.randn(7, 40, generator=generator, dtype=torch.float64)
    squares = [sum(Fraction(value) ** 2 for value in row) for row in x.tolist()] if math.isfinite(scale) else [10**700]
    assert math.isinf(norm_above(x)) or Fraction(norm_above(x)) ** 2 >= max(squares)
    if 1e-120 < scale < 1e150:
        assert norm_above(x) <= float(x.norm(dim=1).max()) * (1 + 1e-8)
