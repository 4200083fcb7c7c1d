"""A sheet of images as a PNG: what a generator makes, at a glance."""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

_SHOWN_PIXELS = 28
"""Smaller images are shown enlarged."""
_COLUMNS = 10
_GAP = 2


def sheet(images: Tensor) -> bytes:
    """Images row by row on a white page.

    Arguments:
        images: shape (n, h, w), (n, c, h, w) or (n, h, w, c), in [0, 1]; of four channels the last is left out.

    Returns:
        A PNG file.
    """
    pixels = _as_rgb(images)
    factor = -(-_SHOWN_PIXELS // pixels.shape[1])
    pixels = pixels.repeat(factor, axis=1).repeat(factor, axis=2)
    n, height, width, _ = pixels.shape
    rows = -(-n // _COLUMNS)
    page = np.full((rows * (height + _GAP) + _GAP, _COLUMNS * (width + _GAP) + _GAP, 3), 255, dtype=np.uint8)
    for position, image in enumerate(pixels):
        row, column = divmod(position, _COLUMNS)
        top, left = row * (height + _GAP) + _GAP, column * (width + _GAP) + _GAP
        page[top : top + height, left : left + width] = image
    file = io.BytesIO()
    Image.fromarray(page).save(file, format="PNG", optimize=True)
    return file.getvalue()


def _as_rgb(images: Tensor) -> np.ndarray:
    """uint8, shape (n, h, w, 3)."""
    if images.ndim == 3:
        images = images.unsqueeze(-1)
    elif images.shape[1] in (1, 3, 4) and images.shape[-1] not in (1, 3, 4):
        images = images.permute(0, 2, 3, 1)
    images = images[..., :3].expand(-1, -1, -1, 3) if images.shape[-1] == 1 else images[..., :3]
    return (images.clamp(0, 1) * 255).round().byte().numpy()


def drawn(generator: nn.Module, latents: Tensor) -> bytes:
    """The sheet of what a generator makes of some latents."""
    with torch.no_grad():
        return sheet(generator(latents))
