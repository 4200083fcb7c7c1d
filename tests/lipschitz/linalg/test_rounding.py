"""Rounding: constants as in the literature, and precisions of products that hold only inside a block."""

import math

import pytest
import torch

from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, best_up_to_rounding, float32_products, gamma, tf32_products


@pytest.mark.parametrize(("setting", "inside"), [(tf32_products, "high"), (float32_products, "highest")])
def test_a_precision_holds_inside_and_not_after(setting, inside):
    before = torch.get_float32_matmul_precision()

    def fail_inside():
        with setting():
            assert torch.get_float32_matmul_precision() == inside
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert torch.get_float32_matmul_precision() == before


def test_the_inner_precision_counts():
    with tf32_products(), float32_products():
        assert torch.get_float32_matmul_precision() == "highest"


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
