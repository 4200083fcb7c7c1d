"""A small generator of digits; its weights are in ``digit_generator.safetensors``, and ``make_samples.py`` trained them."""

import torch
from torch import Tensor, nn


class DigitGenerator(nn.Module):
    """Maps a latent vector to an image of 8 by 8 pixels in [0, 1].

    It is the decoder of a variational auto-encoder: with standard normal latent vectors the images look like digits.

    Arguments:
        latent: size of the latent vector.
        width: units of each of the two hidden layers.
    """

    def __init__(self, latent: int = 16, width: int = 192) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 64)
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        """Images of shape (n, 8, 8) from latent vectors of shape (n, latent)."""
        return torch.sigmoid(self.layers(z)).unflatten(-1, (8, 8))
