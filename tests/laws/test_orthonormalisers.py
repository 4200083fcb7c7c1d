"""Laws of every orthonormaliser: singular values in its stated band, unchanged singular vectors."""

import numpy as np
import pytest
import torch

from wdist.lipschitz.linalg.orthonormalise import bjorck, orthonormal_initial, polar_express, polar_factor, retract_, safe_scale


def _retracted(W):
    for _ in range(60):
        retract_(W)
    return W


ORTHONORMALISERS = {
    **{f"bjorck order {p}": (lambda W, p=p: bjorck(W / safe_scale(W), order=p, iterations=60), 1e-10) for p in (1, 2, 3, 4)},
    "parseval": (lambda W: bjorck(W / safe_scale(W), beta=0.3, iterations=150), 1e-10),
    "retraction": (_retracted, 1e-10),
    "polar factor": (polar_factor, 1e-10),
    "polar express, 3 steps": (polar_express, 0.9),
    "polar express, 5 steps": (lambda W: polar_express(W, steps=5), 0.15),
    "polar express, 7 steps": (lambda W: polar_express(W, steps=7), 1e-8),
}
"""Each with the largest distance of its final singular values from 1."""

SHAPES = [(12, 12), (7, 30), (30, 7), (1, 20), (20, 1), (1, 1)]
CONDITIONS = [1.0, 10.0, 300.0]


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ORTHONORMALISERS)
def test_singular_values_end_in_the_stated_band_and_vectors_stay(name, shape, condition, generator):
    orthonormalise, band = ORTHONORMALISERS[name]
    k = min(shape)
    U = orthonormal_initial(shape[0], k, generator, torch.float64)
    V = orthonormal_initial(shape[1], k, generator, torch.float64)
    W = (U * torch.logspace(0, -np.log10(condition), k, dtype=torch.float64)) @ V.mT
    found = orthonormalise(W.clone())
    assert found.shape == W.shape
    assert found.dtype == W.dtype
    values = np.linalg.svd(found.numpy(), compute_uv=False)
    assert np.abs(values - 1).max() <= band
    inner = U.mT @ found @ V  # diagonal with positive entries: the polar factor, or one that shares its singular vectors
    assert float((inner - inner.diagonal().diag()).abs().max()) < 1e-11 * condition
    assert float(inner.diagonal().min()) > 0
    polar = torch.from_numpy(np.linalg.svd(W.numpy(), full_matrices=False)[0] @ np.linalg.svd(W.numpy(), full_matrices=False)[2])
    assert float(torch.linalg.matrix_norm(found - polar, 2)) <= band + 1e-11 * condition
