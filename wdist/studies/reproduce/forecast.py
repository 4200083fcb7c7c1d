"""How long a training will take on this machine, from its operations and a short measurement."""

import time

import torch

_SIZE = 512
_MEASURED_SECONDS = 0.15
_REACHED = 0.5
"""Share of the speed of large products that a training reaches; fitted to measured trainings on two cores."""
_SORTED_UNIT = 4000.0
"""Operations that sorting a unit there and back is worth."""
_STEP = 2e8
"""Operations that a step costs whatever its sizes: the calls themselves."""


def machine_rate(device: torch.device) -> float:
    """Operations a second that a training reaches on a device: large products are timed for a fraction of a second."""
    A = torch.randn(_SIZE, _SIZE, device=device)
    B = A @ A
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < _MEASURED_SECONDS:
        B = A @ A
        steps += 1
        if device.type == "cuda":
            float(B[0, 0])
    return _REACHED * 2 * _SIZE**3 * steps / (time.perf_counter() - began)


def critic_operations(*, dim: int, width: int, depth: int, batch: int, steps: int, muon: bool = True, outputs: int = 1) -> float:
    """Operations of one training.

    Arguments:
        dim: of a sample.
        width, depth: of the network; depth counts the linear layers.
        batch: rows in one forward pass, of both sides together.
        steps: of the optimiser.
        muon: whether updates are orthogonalised.
        outputs: of the last layer.
    """
    weights = dim * width + (depth - 2) * width * width + width * outputs
    products = 6 * batch * weights
    orthogonal = 0.0
    if muon:
        orthogonal = 20 * min(dim, width) * dim * width + 20 * (depth - 2) * width**3
    retraction = 2 * (min(dim, width) * dim * width + (depth - 2) * width**3)
    sorting = batch * width * (depth - 1) * _SORTED_UNIT / 10
    return float(steps * (products + orthogonal + retraction + sorting + _STEP))
