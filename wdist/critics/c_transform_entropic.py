r"""The c-transform of entropic dual variables: smoother than the exact ones, which follow each single sample.

.. math:: \min_\pi\ \langle \pi, d \rangle + \varepsilon\, \mathrm{KL}(\pi \,\|\, a \otimes b)

has dual variables that average over the samples within about :math:`\varepsilon`. They are extended as in
:mod:`wdist.critics.c_transform`, so that the result is 1-Lipschitz whether or not the iterations have converged.

References:
    Cuturi (2013), Sinkhorn distances: lightspeed computation of optimal transport, arXiv:1306.0895.
    Schmitzer (2019), Stabilized sparse scaling algorithms for entropy regularized transport problems (the log domain).
    Flamary et al. (2021), POT: Python optimal transport.
"""

import numpy as np
import torch
from torch import Tensor

from wdist.critics.c_transform import better_extension, set_apart
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.frozen_layer import FrozenLayer

_POINTS, _ITERATIONS = 800, 50
"""Of each side, and of Sinkhorn: some seconds."""
_SHARE = 0.02
"""epsilon, as a share of the mean distance between the sides."""


def _layers(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    points, others = set_apart(a, b, _POINTS)
    return better_extension(points, entropic_potentials(*points, metric), metric, judged_on=others)


def entropic_potentials(x: Tensor, y: Tensor, metric: GroundMetric) -> tuple[Tensor, Tensor]:
    """Entropic dual variables between samples of equal mass, shapes (n,) and (m,)."""
    import ot  # here, as for the exact ones

    distances = metric.pairwise(x, y).numpy()
    epsilon = _SHARE * float(distances.mean())
    if epsilon == 0:
        return x.new_zeros(len(x)), x.new_zeros(len(y))
    masses = (np.full(len(side), 1 / len(side)) for side in (x, y))
    with np.errstate(over="ignore"):  # POT exponentiates what it has found, too, and nobody reads that
        _, log = ot.bregman.sinkhorn_log(*masses, distances, epsilon, numItermax=_ITERATIONS, log=True, warn=False)
    u, v = (torch.from_numpy(epsilon * np.asarray(log[name])) for name in ("log_u", "log_v"))
    return u, v


RECIPE = ClosedFormRecipe(name="c-transform-entropic", title="c-transform of entropic potentials", layers=_layers)
