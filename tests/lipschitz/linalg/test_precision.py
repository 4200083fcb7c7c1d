"""Settings of products hold inside and not after, whatever happens inside."""

import pytest
import torch

from wdist.lipschitz.linalg.precision import float32_products, tf32_products


@pytest.mark.parametrize(("setting", "inside"), [(tf32_products, "high"), (float32_products, "highest")])
def test_they_hold_inside_and_not_after(setting, inside):
    before = torch.get_float32_matmul_precision()

    def fail_inside():
        with setting():
            assert torch.get_float32_matmul_precision() == inside
            raise ValueError("inside")

    with pytest.raises(ValueError, match="inside"):
        fail_inside()
    assert torch.get_float32_matmul_precision() == before


def test_the_inner_one_counts():
    with tf32_products(), float32_products():
        assert torch.get_float32_matmul_precision() == "highest"
