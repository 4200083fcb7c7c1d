"""GroupSort by ranks agrees with sorting: by Triton's interpreter where there is no GPU."""

import os

import pytest
import torch

from wdist.lipschitz import group_sort_triton
from wdist.lipschitz.group_sort import group_sort, sort_groups

GPU = torch.cuda.is_available()


@pytest.fixture
def fused():
    """The module, its kernels compiled or, where the whole run was started so, interpreted."""
    pytest.importorskip("triton")
    if not GPU and os.environ.get("TRITON_INTERPRET") != "1":
        pytest.skip("there is no CUDA device; TRITON_INTERPRET=1 runs the kernels without one")
    return group_sort_triton


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("k", [2, 3, 4, 9, 16])
def test_ranks_sort_as_sorting_does(fused, k, generator):
    z = torch.randn(7, 3 * k, generator=generator)
    z[0] = z[0].round()  # ties
    z[1] = 0
    z = z.cuda() if GPU else z
    z.requires_grad_()
    incoming = torch.randn(7, 3 * k, generator=generator).to(z)
    ascending = fused.group_sort_fused(z, k)
    assert torch.equal(ascending, sort_groups(z, k))
    (found,) = torch.autograd.grad(ascending, z, incoming)
    assert torch.equal(found.sort(-1).values, incoming.sort(-1).values)
    (expected,) = torch.autograd.grad(sort_groups(z, k), z, incoming)
    torch.testing.assert_close(found[2:], expected[2:], rtol=0, atol=0)  # among equal ones the order is free


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_nan_does_not_spill(fused):
    z = torch.tensor([[1.0, float("nan"), 0.0, 5.0]], device="cuda" if GPU else "cpu")
    ascending = fused.group_sort_fused(z, 4)
    assert ascending[0, :3].tolist() == [0.0, 1.0, 5.0]
    assert ascending.isnan().sum() == 1


def test_without_a_gpu_the_sorting_network_takes_its_place(generator):
    z = torch.randn(5, 12, generator=generator)
    assert not group_sort_triton.available(z, 4)
    torch.testing.assert_close(group_sort(z, 4), sort_groups(z, 4))
