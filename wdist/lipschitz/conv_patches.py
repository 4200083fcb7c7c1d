r"""Images cut into patches: what makes a convolution of one matrix, and why its norm is known.

A convolution takes every patch of an image, kernel by kernel pixels and a stride apart, to the same matrix W. With R the map from
an image to all its patches, a coordinate stands in at most ``overlap`` of them, so :math:`\|R x\|^2 \le \mathrm{overlap}\,
\|x\|^2` and

.. math:: \|\text{convolution}\|_2 \le \sqrt{\mathrm{overlap}}\; \|W\|_2, \qquad
    \mathrm{overlap} = \lceil k_h / s_h \rceil \lceil k_w / s_w \rceil .

Where the stride is the kernel, R only moves coordinates (zeros are put around an image whose size does not divide) and the bound
is the norm itself: a convolution of an orthonormal W is orthonormal.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix H.3 (the use).
    Tsuzuku, Sato & Sugiyama (2018), Lipschitz-margin training, arXiv:1802.04034, appendix (the bound by repetitions).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from wdist.errors import UsageError

LAYOUTS = ("chw", "hwc")
"""Order of the coordinates of a flattened image: channel by channel, or pixel by pixel."""
CHANNELS = (1, 3, 4)
"""Of an image as it is stored; other axes of that size are taken for height or width."""


@dataclass(frozen=True, kw_only=True)
class ImageShape:
    """How a flattened sample is an image."""

    channels: int
    height: int
    width: int
    layout: str

    def __post_init__(self) -> None:
        if min(self.channels, self.height, self.width) < 1 or self.layout not in LAYOUTS:
            raise UsageError(f"{self.channels} channels of {self.height}x{self.width}, {self.layout}, are no image; give its sizes")

    @property
    def dim(self) -> int:
        """Coordinates of a flattened image."""
        return self.channels * self.height * self.width

    @classmethod
    def of_event(cls, event_shape: Sequence[int]) -> "ImageShape":
        """The image that a sample of some shape is.

        Shapes (h, w), (c, h, w) and (h, w, c) with 1, 3 or 4 channels are images; all else is a single row of pixels.
        """
        match tuple(event_shape):
            case (height, width):
                return cls(channels=1, height=height, width=width, layout="chw")
            case (channels, height, width) if channels in CHANNELS:
                return cls(channels=channels, height=height, width=width, layout="chw")
            case (height, width, channels) if channels in CHANNELS:
                return cls(channels=channels, height=height, width=width, layout="hwc")
            case other:
                return cls(channels=1, height=1, width=int(torch.Size(other).numel()), layout="chw")


@dataclass(frozen=True, kw_only=True)
class Patches:
    """The patches of an image, from the top left on, in a border of zeros."""

    image: ImageShape
    kernel: tuple[int, int]
    stride: tuple[int, int]
    before: tuple[int, int] = (0, 0)
    """Rows of zeros above, and columns of zeros to the left."""

    def __post_init__(self) -> None:
        for k, s, p in zip(self.kernel, self.stride, self.before, strict=True):
            if not 1 <= s <= k or not 0 <= p < k:
                raise UsageError(f"patches {self.kernel} with stride {self.stride} and border {self.before} leave pixels out")

    @classmethod
    def apart(cls, image: ImageShape, size: int, *, offset: bool = False) -> "Patches":
        """Patches of ``size`` pixels that do not overlap; ``offset`` moves their borders by half of that.

        An axis shorter than a patch is one patch.
        """
        kernel = (min(size, image.height), min(size, image.width))
        before = (kernel[0] // 2, kernel[1] // 2) if offset else (0, 0)
        return cls(image=image, kernel=kernel, stride=kernel, before=before)

    @property
    def size(self) -> int:
        """Coordinates of a patch."""
        return self.image.channels * self.kernel[0] * self.kernel[1]

    @property
    def overlap(self) -> int:
        """In how many patches a pixel stands at most."""
        return -(-self.kernel[0] // self.stride[0]) * -(-self.kernel[1] // self.stride[1])

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of patches: as many as it takes that every pixel is in one."""
        sizes = (self.image.height, self.image.width)
        return tuple(
            1 + -(-max(0, n + p - k) // s) for n, p, k, s in zip(sizes, self.before, self.kernel, self.stride, strict=True)
        )  # type: ignore[return-value]

    @property
    def count(self) -> int:
        """How many patches an image has."""
        return self.grid[0] * self.grid[1]

    def outputs(self, channels: int) -> ImageShape:
        """The image that a convolution with so many outputs makes, pixel by pixel."""
        return ImageShape(channels=channels, height=self.grid[0], width=self.grid[1], layout="hwc")

    def cut(self, h: Tensor) -> Tensor:
        """All patches of flattened images.

        Arguments:
            h: shape (n, dim of the image), any floating type; differentiable.

        Returns:
            Shape (n * count, size): the patches of the first image row by row, then those of the next.
        """
        image = self.image
        if image.layout == "chw":
            h = h.reshape(-1, image.channels, image.height, image.width).permute(0, 2, 3, 1)
        else:
            h = h.reshape(-1, image.height, image.width, image.channels)
        (top, left), (below, right) = self.before, self._after
        if top or left or below or right:
            h = nn.functional.pad(h, (0, 0, left, right, top, below))
        rows, columns = self.grid
        if self.stride == self.kernel:  # the same as unfolding, whose gradient is slower
            h = h.reshape(-1, rows, self.kernel[0], columns, self.kernel[1], image.channels).permute(0, 1, 3, 5, 2, 4)
        else:
            h = h.unfold(1, self.kernel[0], self.stride[0]).unfold(2, self.kernel[1], self.stride[1])
        return h.reshape(-1, self.size)

    @property
    def _after(self) -> tuple[int, int]:
        sizes = (self.image.height, self.image.width)
        return tuple(
            (g - 1) * s + k - p - n for g, s, k, p, n in zip(self.grid, self.stride, self.kernel, self.before, sizes, strict=True)
        )  # type: ignore[return-value]

    def __str__(self) -> str:
        """``28x28x1:chw:2x2:2x2:0x0``: height, width and channels, layout, kernel, stride and border; enough to read it again."""
        image = self.image
        pairs = (f"{a}x{b}" for a, b in (self.kernel, self.stride, self.before))
        return f"{image.height}x{image.width}x{image.channels}:{image.layout}:{':'.join(pairs)}"

    @classmethod
    def parse(cls, text: str) -> "Patches":
        """Reads what :meth:`__str__` wrote.

        Raises:
            UsageError: the text is none.
        """
        match = _WRITTEN.fullmatch(text)
        if match is None:
            raise UsageError(f"{text!r} says nothing of patches; it is written like 28x28x1:chw:2x2:2x2:0x0")
        height, width, channels, *sizes = (int(match[i]) for i in (1, 2, 3, 5, 6, 7, 8, 9, 10))
        image = ImageShape(channels=channels, height=height, width=width, layout=match[4])
        return cls(image=image, kernel=(sizes[0], sizes[1]), stride=(sizes[2], sizes[3]), before=(sizes[4], sizes[5]))


_SIZE = r"(\d{1,6})"
_WRITTEN = re.compile(rf"{_SIZE}x{_SIZE}x{_SIZE}:(chw|hwc):{_SIZE}x{_SIZE}:{_SIZE}x{_SIZE}:{_SIZE}x{_SIZE}")
