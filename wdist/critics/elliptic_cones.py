r"""Critics of elliptic cones: the minimum of distances after linear maps, or the maximum of their negatives.

.. math:: f(x) = \pm \min_j \left( \|Q_j x - c_j\| + b_j \right), \qquad \|Q_j\|_2 \le 1

The distance from an affine subspace is such a cone, whose Q projects onto the normals; the distance from a point has Q = I, and a
linear function is the limit of distant cones. A few of them describe distances from subspaces, segments or curves that take
hundreds of round cones.

References:
    McShane (1934), Extension of range of functions (minima of Lipschitz functions).
"""

import torch
from torch import Tensor, nn

from wdist.critics.cones import negation
from wdist.critics.critic import Critic
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.lipschitz.elliptic_cones import EllipticCones
from wdist.lipschitz.frozen_layer import FrozenLayer
from wdist.lipschitz.linalg.norms import spectral_norm_bound

_FIRST_SCALE = 0.9
"""Singular values of the initial matrices: below 1, so that each can grow or shrink."""
_LEAST_SQUARE = 1e-12
_LEAST_NORM = 1e-3


class EllipticConeCritic(Critic):
    """sign * min_j (||Q_j x - c_j|| + b_j) on standardised samples; a soft minimum in training.

    Arguments:
        centres: initial tips of the cones, shape (cones, dim).
        sign: +1 if A is higher on the cones, -1 if B is.
    """

    constrain_every = 8

    def __init__(self, centres: Tensor, *, sign: int) -> None:
        super().__init__()
        cones, dim = centres.shape
        self.matrices = nn.Parameter(_FIRST_SCALE * torch.eye(dim, device=centres.device).repeat(cones, 1, 1))
        self.points = nn.Parameter(_FIRST_SCALE * centres)
        self.offsets = nn.Parameter(centres.new_zeros(cones))
        self.sign = sign
        self.temperature = 0.0
        """Width of the soft minimum, in standardised units; 0 for the minimum itself, which is always used outside training."""

    def forward(self, x: Tensor) -> Tensor:
        mapped = torch.addmm(self.points.flatten(), x, self.matrices.flatten(0, 1).mT, beta=-1).unflatten(1, self.points.shape)
        heights = mapped.square().sum(2).clamp(min=_LEAST_SQUARE).sqrt() + self.offsets
        if self.training and self.temperature > 0:
            return -self.sign * self.temperature * torch.logsumexp(-heights / self.temperature, 1)
        return self.sign * heights.amin(1)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Clips the singular values of all matrices at 1."""
        squares, vectors = torch.linalg.eigh(self.matrices @ self.matrices.mT)
        factors = torch.where(squares > 1, squares.clamp(min=1.0).rsqrt(), 1.0)
        self.matrices.copy_((vectors * factors.unsqueeze(1)) @ vectors.mT @ self.matrices)

    def freeze(self, standardisation: Standardisation, *, lipschitz: float = 1.0) -> FrozenCritic:
        matrices, points, offsets = (each.detach().double().cpu() for each in (self.matrices, self.points, self.offsets))
        norms = torch.tensor([spectral_norm_bound(matrix) for matrix in matrices], dtype=torch.float64)
        # Each matrix is divided by its own norm, so that one that is slightly too steep does not cost the others; a critic that is
        # too flat everywhere is scaled up as a whole.
        matrices = matrices / norms.clamp(min=1).view(-1, 1, 1)
        factor = 1 / min(1.0, max(float(norms.max()), _LEAST_NORM))
        matrices, points, offsets = factor * matrices, factor * points, factor * offsets
        layers: list[FrozenLayer] = [EllipticCones(matrices=matrices, points=points, offsets=offsets)]
        if self.sign < 0:
            layers.append(negation())
        return FrozenCritic(layers, standardisation.to(torch.device("cpu")), lipschitz=lipschitz)
