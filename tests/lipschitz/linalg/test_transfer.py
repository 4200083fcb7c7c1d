"""Norms of convolutions against the matrices that they are."""

import math

import pytest
import torch
from torch import Tensor, nn

from wdist.errors import CertificateError
from wdist.lipschitz.linalg.orthonormalise import orthonormal_initial
from wdist.lipschitz.linalg.transfer import convolution_norm_bound

CASES = [
    # inputs, outputs, kernel, stride, padding, groups, size of the image
    (1, 1, 3, 1, 1, 1, 16),
    (2, 3, 3, 1, 1, 1, 14),
    (4, 6, 5, 2, 2, 2, 12),
    (3, 3, 4, 2, 1, 1, 12),
    (2, 2, 2, 3, 0, 1, 13),
    (5, 2, 1, 1, 0, 1, 5),
]


@torch.no_grad()
def as_matrix(function: nn.Module, *shape: int) -> Tensor:
    x = torch.eye(math.prod(shape), dtype=torch.float64).reshape(-1, *shape)
    return function(x).flatten(1)


@pytest.mark.parametrize("case", CASES, ids=str)
@pytest.mark.parametrize("padding_mode", ["zeros", "circular"])
def test_bound_is_just_above_the_norm_on_a_large_image(case, padding_mode):
    inputs, outputs, kernel, stride, padding, groups, size = case
    torch.manual_seed(0)
    convolution = nn.Conv2d(
        inputs, outputs, kernel, stride, padding, groups=groups, bias=False, padding_mode=padding_mode, dtype=torch.float64
    )
    exact = float(torch.linalg.matrix_norm(as_matrix(convolution, inputs, size, size), 2))
    bound = convolution_norm_bound(convolution.weight, stride=(stride, stride), groups=groups)
    assert exact <= bound <= 1.1 * exact


def test_one_dimension_and_three():
    for make, axes in ((nn.Conv1d, 1), (nn.Conv3d, 3)):
        torch.manual_seed(1)
        convolution = make(2, 2, 3, padding=1, bias=False, dtype=torch.float64)
        exact = float(torch.linalg.matrix_norm(as_matrix(convolution, 2, *[5] * axes), 2))
        assert exact <= convolution_norm_bound(convolution.weight, stride=[1] * axes) <= 1.6 * exact


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("channels", [(3, 6), (6, 3), (4, 4)], ids=str)
def test_orthogonal_convolutions_of_another_library_are_bounded_to_rounding(channels, stride):
    """AOC (BCOP times reshaped kernels): dense singular values on a torus, and what orthogonality the library attains."""
    layers = pytest.importorskip("orthogonium.layers", reason="orthogonium is not installed")
    torch.manual_seed(0)
    layer = layers.AdaptiveOrthoConv2d(*channels, kernel_size=stride + 2, stride=stride, padding=1, bias=False)
    kernel = layer.weight.detach().double()
    plain = nn.Conv2d(*channels, stride + 2, stride, 1, bias=False, padding_mode="circular", dtype=torch.float64)
    plain.weight = nn.Parameter(kernel)
    exact = float(torch.linalg.matrix_norm(as_matrix(plain, channels[0], 8, 8), 2))
    bound = convolution_norm_bound(kernel, stride=(stride, stride))
    assert exact == pytest.approx(1, abs=1e-5)
    assert exact <= bound <= exact * (1 + 1e-5)


@pytest.mark.parametrize("size", [2, 3])
def test_orthogonal_kernels_of_any_scale_are_bounded_to_rounding(size):
    """A product of orthonormal matrices and shifts of some channels."""
    generator = torch.Generator().manual_seed(0)
    kernel = orthonormal_initial(6, 6, generator, torch.float64)[:, :, None]
    for _ in range(size - 1):
        Q, grown = orthonormal_initial(6, 6, generator, torch.float64), torch.zeros(6, 6, kernel.shape[2] + 1, dtype=torch.float64)
        grown[:3, :, :-1], grown[3:, :, 1:] = kernel[:3], kernel[3:]
        kernel = torch.einsum("ij,jkl->ikl", Q, grown)
    for scale in (1.0, 0.3, 1e5):
        bound = convolution_norm_bound(kernel * scale, stride=(1,))
        assert scale * (1 - 1e-15) <= bound <= scale * (1 + 1e-11)
        assert convolution_norm_bound(kernel[:4] * scale, stride=(1,)) == pytest.approx(scale, rel=1e-11)


@pytest.mark.parametrize("scale", [1e-200, 1.0, 1e200])
def test_bound_scales_with_the_kernel(scale):
    kernel = torch.randn(3, 2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = convolution_norm_bound(kernel, stride=(1, 1))
    assert convolution_norm_bound(kernel * scale, stride=(1, 1)) == pytest.approx(plain * scale, rel=1e-9)


def test_degenerate_kernels():
    assert convolution_norm_bound(torch.zeros(2, 2, 3, 3), stride=(1, 1)) == 0
    with pytest.raises(CertificateError, match="nan or infinity"):
        convolution_norm_bound(torch.full((1, 1, 3, 3), math.nan), stride=(1, 1))
