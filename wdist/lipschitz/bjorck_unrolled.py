"""The paper's own scheme: an unconstrained parameter, orthonormalised in every forward pass by iterations that are differentiated.

References:
    Björck & Bowie (1971), An iterative algorithm for computing the best estimate of an orthogonal matrix.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.2.1 and appendices B.3 and B.4.
"""

import torch
from torch import Tensor

from wdist.lipschitz.linalg.orthonormalise import bjorck, safe_scale
from wdist.lipschitz.linalg.spectral_norm import spectral_norm_estimate
from wdist.lipschitz.linear import ConstraintOptions, LipschitzLinear
from wdist.lipschitz.spectral import divided_by_norm

_TIGHT_ITERATIONS = 30
"""Before an evaluation; the paper takes 15 or more at the end of training."""


class UnrolledBjorckLinear(LipschitzLinear):
    """W = Björck iterations of (parameter / scale).

    The scale is a power-iteration estimate of the spectral norm, from below, but the iterations converge up to sqrt 3 (order 1) or
    sqrt 2 times it; or the smallest of the norms of equations 9 to 11, safe, but it takes about five times as many iterations.
    """

    constraint = "bjorck-unrolled"
    takes = frozenset({"bjorck_order", "bjorck_iterations", "beta"})
    title = "orthonormal weights by unrolled iterations"
    learning_rate = 0.01
    iterations = 3

    def __init__(self, inputs: int, outputs: int, *, generator: torch.Generator, options: ConstraintOptions | None = None) -> None:
        super().__init__(inputs, outputs, generator=generator, options=options)
        self.register_buffer("leading", torch.randn(inputs, generator=generator))
        self.leading: Tensor

    def _scaled(self, W: Tensor) -> Tensor:
        if self.options.scaling == "norms":
            return W / safe_scale(W)
        sigma, self.leading = spectral_norm_estimate(W, self.leading.to(W), iterations=1 if self.training else 0)
        return W / sigma

    def _iterated(self, W: Tensor, iterations: int) -> Tensor:
        order = self.options.order
        beta = self.options.beta if self.options.beta is not None and order == 1 else self.beta
        return bjorck(W, order=order, iterations=iterations, beta=beta)

    def training_weight(self) -> Tensor:
        iterations = (self.options.iterations or self.iterations) if self.training else _TIGHT_ITERATIONS
        return self._iterated(self._scaled(self.weight), iterations)

    @torch.no_grad()
    def constrain_(self, *, tightly: bool = False) -> None:
        """Brings the estimate of the spectral norm up to date, where it is what the parameter is divided by."""
        if tightly and self.options.scaling == "spectral":
            _, self.leading = spectral_norm_estimate(self.weight, self.leading, iterations=20)

    @torch.no_grad()
    def plain_weight(self) -> Tensor:
        """As many iterations in float64 as before an evaluation, over a proved bound of the norm of what comes out."""
        W = self.weight.detach().double().cpu()
        return divided_by_norm(self._iterated(W / safe_scale(W), _TIGHT_ITERATIONS))
