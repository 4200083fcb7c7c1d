"""Trains a small generator of digits with ``wdist.W1`` as its loss, and prints the certified distance as it falls.

    python samples/train_generator.py                takes about half a minute on one core
    python samples/train_generator.py --steps 2000   goes on

The loss trains a 1-Lipschitz critic along. Every hundred steps it is frozen, certified and evaluated on digits that were set aside
and on new draws, so that each printed number is a lower bound for the distance between the generator and the digits.
"""

import argparse
from pathlib import Path

import h5py
import torch
from torch import nn

import wdist
from wdist.python.metric import MetricBound

LATENT, BATCH = 16, 128


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """The digits that the generator is trained with, and those that are set aside, shape (n, 64) in [0, 1]."""
    with h5py.File(Path(__file__).parent / "digits.h5") as file:
        images = torch.from_numpy(file["images"][:]).float().flatten(1)
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    return images[order[600:]], images[order[:600]]


def main(steps: int, every: int) -> list[MetricBound]:
    """Trains for some steps and returns the bounds."""
    torch.manual_seed(0)
    train, aside = digits()
    generator = nn.Sequential(nn.Linear(LATENT, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 64), nn.Sigmoid())
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3, betas=(0.5, 0.99))
    w1 = wdist.W1(width=128, depth=3)

    report = w1.every(every, real=lambda: aside, fake=lambda: generator(torch.randn(len(aside), LATENT)), samples=len(aside))
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        real = train[torch.randint(len(train), (BATCH,))]
        w1(real, generator(torch.randn(BATCH, LATENT))).backward()
        optimizer.step()
        if (bound := report(step)) is not None:
            print(bound)
    return report.history


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--every", type=int, default=100)
    arguments = parser.parse_args()
    main(arguments.steps, arguments.every)
