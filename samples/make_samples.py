"""Makes the sample sets and the generator in this folder from the digits that come with scikit-learn.

    python samples/make_samples.py                   writes beside this script, in about half a minute
    python samples/make_samples.py --out elsewhere   writes to another folder

The sample sets are the same on every machine; the weights of the generator differ by rounding.
"""

import argparse
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F

from digit_generator import DigitGenerator

LATENT = 16


def images_and_labels() -> tuple[np.ndarray, np.ndarray]:
    """Returns the 1797 digits: images of shape (n, 8, 8) in float32, and their labels.

    scikit-learn stores pixels as 0 to 16. Divided by 16 they are multiples of 1/16 in [0, 1], which float32 holds exactly.
    """
    digits = load_digits()
    return (digits.images / 16).astype(np.float32), digits.target


def write_images(path: Path, images: np.ndarray) -> None:
    """Writes one dataset, ``images``, without timestamps, so that equal images make equal files."""
    with h5py.File(path, "w") as file:
        file.create_dataset("images", data=images, compression="gzip", shuffle=True, track_times=False)


def trained_generator(images: np.ndarray, *, epochs: int, seed: int) -> DigitGenerator:
    """Trains a variational autoencoder (Kingma & Welling 2014) and returns its decoder.

    Arguments:
        images: shape (n, 8, 8), values in [0, 1].
        epochs: passes over the images.
        seed: seed of the initial weights, the order of the images and the noise.
    """
    torch.manual_seed(seed)
    x = torch.from_numpy(images)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 256), nn.SiLU(), nn.Linear(256, 256), nn.SiLU(), nn.Linear(256, 2 * LATENT))
    decoder = DigitGenerator(latent=LATENT)
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=2e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            negative_evidence_bound(encoder, decoder, x[rows]).backward()
            optimizer.step()
        schedule.step()
    return decoder.eval()


def negative_evidence_bound(encoder: nn.Module, decoder: nn.Module, x: Tensor, noise: float = 0.15) -> Tensor:
    """Returns minus the evidence lower bound, averaged over images, for Gaussian pixel noise of standard deviation ``noise``."""
    mean, log_variance = encoder(x).chunk(2, dim=-1)
    z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)
    misfit = F.mse_loss(decoder(z), x, reduction="none").flatten(1).sum(-1) / (2 * noise**2)
    return (misfit + divergence).mean()


def main() -> None:
    """Writes the three sample sets and the weights of the generator."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder to write to (default: beside this script)")
    parser.add_argument("--epochs", type=int, default=400, help="passes over the digits when training the generator")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    arguments.out.mkdir(parents=True, exist_ok=True)
    images, labels = images_and_labels()
    write_images(arguments.out / "digits.h5", images)
    write_images(arguments.out / "digits-low.h5", images[labels <= 4])
    write_images(arguments.out / "digits-high.h5", images[labels >= 5])
    generator = trained_generator(images, epochs=arguments.epochs, seed=arguments.seed)
    save_file(generator.state_dict(), arguments.out / "digit_generator.safetensors")


if __name__ == "__main__":
    main()
