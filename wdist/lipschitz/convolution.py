r"""Convolutions: one matrix applied to all patches of an image, with a proved norm.

A convolution applies the same matrix W to every patch of an image; patches have the size of the kernel and are a stride apart. Let
R be the map from an image to all its patches. A coordinate lies in at most ``overlap`` patches, so
:math:`\|R x\|^2 \le \mathrm{overlap}\, \|x\|^2` and

.. math:: \|\text{convolution}\|_2 \le \sqrt{\mathrm{overlap}}\; \|W\|_2, \qquad
    \mathrm{overlap} = \lceil k_h / s_h \rceil \lceil k_w / s_w \rceil .

If the stride equals the kernel, R only moves coordinates (and pads an image whose size is not a multiple of it with zeros), and the
bound is the norm itself: the convolution with an orthonormal W is orthonormal.

Disjoint patches give an overlapping convolution if groups of channels are first rolled around the image by different shifts: an
output then sees different pixels of each group, and neighbouring outputs share pixels. Rolling permutes the coordinates, so the
norm is still that of W. In terms of transfer functions, a diagonal matrix of delays precedes a constant matrix; products of such
pairs are paraunitary, as is every orthogonal convolution on a torus.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix H.3 (the use).
    Tsuzuku, Sato & Sugiyama (2018), Lipschitz-margin training, arXiv:1802.04034, appendix (the bound by repetitions).
    Li, Haque, Anil, Lucas, Grosse & Jacobsen (2019), Preventing gradient attenuation in Lipschitz constrained convolutional
        networks, arXiv:1911.00937 (orthogonal convolutions from projections and shifts by a pixel).
    Su, Byeon & Huang (2022), Scaling-up diverse orthogonal convolutional networks by a paraunitary framework, arXiv:2106.09121.
"""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.errors import UsageError
from wdist.lipschitz.frozen_layer import Affine, FrozenLayer, LayerBound, affine_rounding
from wdist.lipschitz.linalg.norms import spectral_norm_bound
from wdist.lipschitz.linalg.rounding import UNIT_ROUNDOFF, norm_above, product_above
from wdist.lipschitz.linalg.transfer import convolution_norm_bound

LAYOUTS = ("chw", "hwc")
"""Orders of the coordinates of a flattened image: channel by channel, or pixel by pixel."""
CHANNELS = (1, 3, 4)
"""Sizes that mark an axis of a stored image as its channels; 2 does so only if no other axis is marked."""
_SIZE = r"(\d{1,6})"
_PAIR = rf"{_SIZE}x{_SIZE}"
_WRITTEN = re.compile(rf"{_SIZE}x{_PAIR}:(chw|hwc):{_PAIR}:{_PAIR}:{_PAIR}((?::{_PAIR})*)")
_AT_REST = ((0, 0),)
_MOST_ROWS, _MOST_TAPS = 128, 256
"""Largest smaller side of the transfer function, and most taps of a kernel, for which its norm is computed in a second or two."""


@dataclass(frozen=True, kw_only=True)
class ImageShape:
    """The shape and layout of a flattened image."""

    channels: int
    height: int
    width: int
    layout: str

    def __post_init__(self) -> None:
        if min(self.channels, self.height, self.width) < 1 or self.layout not in LAYOUTS:
            raise UsageError(
                f"{self.channels} channels of {self.height}x{self.width} pixels in layout {self.layout!r} are not an image; "
                f"give positive sizes and one of {', '.join(LAYOUTS)}"
            )

    @property
    def dim(self) -> int:
        return self.channels * self.height * self.width

    @classmethod
    def of_event(cls, event_shape: Sequence[int]) -> "ImageShape":
        """The image for a sample of shape (h, w), (c, h, w) or (h, w, c) with 1 to 4 channels, otherwise a single row of pixels."""
        match tuple(event_shape):
            case (height, width):
                return cls(channels=1, height=height, width=width, layout="chw")
            case (channels, height, width) if channels in CHANNELS:
                return cls(channels=channels, height=height, width=width, layout="chw")
            case (height, width, channels) if channels in CHANNELS:
                return cls(channels=channels, height=height, width=width, layout="hwc")
            case (2, height, width):
                return cls(channels=2, height=height, width=width, layout="chw")
            case (height, width, 2):
                return cls(channels=2, height=height, width=width, layout="hwc")
            case other:
                return cls(channels=1, height=1, width=int(torch.Size(other).numel()), layout="chw")


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The patches of an image with a border of zeros, starting at the top left."""

    image: ImageShape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int] = (0, 0)
    """Rows of zeros above and columns of zeros to the left."""
    shifts: tuple[tuple[int, int], ...] = _AT_REST
    """Rows and columns by which each of several equal groups of channels is first rolled up and to the left around the image."""

    def __post_init__(self) -> None:
        for k, s, p in zip(self.kernel, self.stride, self.before, strict=True):
            if not 1 <= s <= k or not 0 <= p < k:
                raise UsageError(
                    f"patches {self.kernel} with stride {self.stride} and border {self.before} do not cover the image; "
                    "neither the stride nor the border may exceed the patch"
                )
        if not self.shifts or self.image.channels % len(self.shifts):
            raise UsageError(f"{self.image.channels} channels do not divide into {len(self.shifts)} groups of different shifts")
        if any(not 0 <= shift <= size for each in self.shifts for shift, size in zip(each, self.kernel, strict=True)):
            raise UsageError(f"the shifts {self.shifts} leave the patches {self.kernel}; no shift may exceed the patch")

    @classmethod
    def apart(cls, image: ImageShape, size: int, *, staggered: bool = False) -> "Patches":
        """Disjoint patches of ``size`` by ``size`` pixels, or less along a shorter axis.

        If ``staggered``, up to four groups of channels are shifted by half a patch along no axis, both axes, or one of them.
        """
        kernel = (min(size, image.height), min(size, image.width))
        down, right = kernel[0] // 2, kernel[1] // 2
        groups = math.gcd(image.channels, 4) if staggered else 1
        shifts = ((0, 0), (down, right), (0, right), (down, 0))[:groups]
        return cls(image=image, kernel=kernel, stride=kernel, shifts=shifts)

    @property
    def size(self) -> int:
        """Number of coordinates of a patch."""
        return self.image.channels * self.kernel[0] * self.kernel[1]

    @property
    def overlap(self) -> int:
        """The largest number of patches that share a pixel."""
        return -(-self.kernel[0] // self.stride[0]) * -(-self.kernel[1] // self.stride[1])

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches, enough to cover every pixel."""
        sizes = (self.image.height, self.image.width)
        return tuple(
            1 + -(-max(0, n + p - k) // s) for n, p, k, s in zip(sizes, self.before, self.kernel, self.stride, strict=True)
        )  # type: ignore[return-value]

    @property
    def count(self) -> int:
        return self.grid[0] * self.grid[1]

    def outputs(self, channels: int) -> ImageShape:
        """The image that a convolution with ``channels`` outputs produces."""
        return ImageShape(channels=channels, height=self.grid[0], width=self.grid[1], layout="hwc")

    def cut(self, h: Tensor) -> Tensor:
        """All patches of flattened images, shape (n, dim), image by image and row by row; shape (n * count, size)."""
        image = self.image
        if image.layout == "chw":
            h = h.reshape(-1, image.channels, image.height, image.width).permute(0, 2, 3, 1)
        else:
            h = h.reshape(-1, image.height, image.width, image.channels)
        h = self._rolled(h)
        rows, columns = self.grid
        (top, left), sizes = self.before, (image.height, image.width)
        below, right = (
            (g - 1) * s + k - p - n for g, s, k, p, n in zip(self.grid, self.stride, self.kernel, self.before, sizes, strict=True)
        )
        if top or left or below or right:
            h = nn.functional.pad(h, (0, 0, left, right, top, below))
        if self.stride == self.kernel:  # equivalent to unfolding, whose gradient is slower
            h = h.reshape(-1, rows, self.kernel[0], columns, self.kernel[1], image.channels).permute(0, 1, 3, 5, 2, 4)
        else:
            h = h.unfold(1, self.kernel[0], self.stride[0]).unfold(2, self.kernel[1], self.stride[1])
        return h.reshape(-1, self.size)

    def _rolled(self, h: Tensor) -> Tensor:
        """Images, shape (n, height, width, channels), with each group of channels rolled by its shift."""
        if self.shifts == _AT_REST:
            return h
        groups = h.split(self.image.channels // len(self.shifts), dim=3)
        return torch.cat([group.roll((-down, -right), (1, 2)) for group, (down, right) in zip(groups, self.shifts, strict=True)], 3)

    def __str__(self) -> str:
        """Height, width and channels, layout, kernel, stride, border and shifts, if any, as in ``28x28x1:chw:2x2:2x2:0x0``."""
        image, shifts = self.image, () if self.shifts == _AT_REST else self.shifts
        pairs = (f"{a}x{b}" for a, b in (self.kernel, self.stride, self.before, *shifts))
        return f"{image.height}x{image.width}x{image.channels}:{image.layout}:{':'.join(pairs)}"

    @classmethod
    def parse(cls, text: str) -> "Patches":
        """The patches that :meth:`__str__` describes; UsageError if the text does not describe patches."""
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} does not describe patches; write them like 28x28x1:chw:2x2:2x2:0x0")
        height, width, channels, *sizes = (int(match[i]) for i in (1, 2, 3, 5, 6, 7, 8, 9, 10))
        image = ImageShape(channels=channels, height=height, width=width, layout=match[4])
        shifts = tuple((int(a), int(b)) for a, b in re.findall(_PAIR, match[11])) or _AT_REST
        kernel, stride, before = ((sizes[i], sizes[i + 1]) for i in (0, 2, 4))
        return cls(image=image, kernel=kernel, stride=stride, before=before, shifts=shifts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Convolution(Affine):
    """x -> W p + b for every patch p of x, which has no larger p-norm than x; outputs pixel by pixel, channels innermost.

    The columns of the weight are ordered by channel, row and column of a patch.
    """

    patches: Patches

    @property
    def kind(self) -> str:
        return f"convolution:{self.patches}"

    def __call__(self, h: Tensor) -> Tensor:
        return super().__call__(self.patches.cut(h)).reshape(len(h), -1)

    def lipschitz(self) -> LayerBound:
        """The norm of the matrix times the square root of the overlap or, if smaller, a bound from the transfer function."""
        overlap = self.patches.overlap
        norm = spectral_norm_bound(self.weight)
        if overlap == 1:
            return LayerBound(layer=self._shape, bound=norm, method="gram, float64; patches apart")
        # The root and the product round once each.
        repeated = math.nextafter(norm * math.sqrt(overlap) * (1 + 4 * UNIT_ROUNDOFF), math.inf)
        transfer = self._transfer_bound()
        if transfer < repeated:
            return LayerBound(layer=self._shape, bound=transfer, method="transfer function, float64")
        return LayerBound(layer=self._shape, bound=repeated, method=f"gram, float64; {overlap} patches share a pixel")

    def _transfer_bound(self) -> float:
        """The bound from the transfer function, which holds for images of any size; infinite if it would take long."""
        image, kernel, stride = self.patches.image, self.patches.kernel, self.patches.stride
        if min(len(self.weight), image.channels * math.prod(stride)) > _MOST_ROWS or math.prod(kernel) > _MOST_TAPS:
            return math.inf
        # Rolling permutes the inputs of the layer, and padding is with zeros.
        return convolution_norm_bound(self.weight.unflatten(1, (image.channels, *kernel)), stride=stride)

    @property
    def _shape(self) -> str:
        rows, columns = self.weight.shape
        return f"convolution {rows}x{columns} on {self.patches.count} patches"

    def rounding(self, norm: float, units: int) -> float:
        # For each patch || |W| |p| || <= ||W||_F ||p||; over all patches the squares add up.
        count, overlap = self.patches.count, math.nextafter(math.sqrt(self.patches.overlap), math.inf)
        bias = product_above(math.nextafter(math.sqrt(count), math.inf), norm_above(self.bias))
        return affine_rounding(self.weight, bias, product_above(overlap, norm), outputs=count * len(self.weight))

    def check(self, units: int) -> int:
        if units != self.patches.image.dim:
            raise ValueError("the shapes of its layers do not match")
        return self.patches.count * super().check(self.patches.size)


@dataclass(frozen=True, kw_only=True, eq=False)
class PatchWise(FrozenLayer):
    """The same layer applied to the outputs of each patch."""

    count: int
    """Number of patches."""
    layer: FrozenLayer

    @property
    def kind(self) -> str:
        return f"patchwise:{self.count}:{self.layer.kind}"

    def __call__(self, h: Tensor) -> Tensor:
        return self.layer(h.reshape(len(h) * self.count, -1)).reshape(len(h), -1)

    def forward(self, h: Tensor) -> Tensor:
        return self.layer.forward(h.reshape(-1, h.shape[1] // self.count)).reshape(h.shape[0], -1)

    def lipschitz(self) -> LayerBound:
        return self.layer.lipschitz()  # squares add up patch by patch

    def maximum(self, p: float) -> LayerBound:
        return self.layer.maximum(p)  # no patch has a larger p-norm than the whole

    def rounding(self, norm: float, units: int) -> float:
        root = math.nextafter(math.sqrt(self.count), math.inf)
        return product_above(root, self.layer.rounding(norm, units // self.count))

    def check(self, units: int) -> int:
        if self.count < 1 or units % self.count:
            raise ValueError(f"{units} units do not divide into {self.count} patches")
        return self.count * self.layer.check(units // self.count)

    def tensors(self) -> dict[str, Tensor]:
        return self.layer.tensors()

    def with_tensors(self, tensors: Mapping[str, Tensor]) -> "PatchWise":
        return PatchWise(count=self.count, layer=self.layer.with_tensors(tensors))
