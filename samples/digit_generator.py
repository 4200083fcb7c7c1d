"""A small generator of digits; ``make_samples.py`` trained its weights in ``digit_generator.safetensors``."""

import torch
from torch import Tensor, nn


class DigitGenerator(nn.Module):
    """Maps a latent vector to an image of 8 by 8 pixels in [0, 1].

    It is the decoder of a variational autoencoder: standard normal latent vectors give images that look like digits.

    Arguments:
        latent: size of the latent vector.
        width: units of each hidden layer.
    """

    def __init__(self, latent: int = 16, width: int = 192) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(latent, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 64)
        )  # fmt: skip

    def forward(self, z: Tensor) -> Tensor:
        """Returns images of shape (n, 8, 8) for latent vectors of shape (n, latent)."""
        return torch.sigmoid(self.layers(z)).unflatten(-1, (8, 8))
