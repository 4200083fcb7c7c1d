"""Any torch module as a classifier, certified by the proved Lipschitz bound of its graph."""

import copy
import math
from collections.abc import Sequence
from itertools import combinations

import torch
from torch import Tensor, nn

from wdist.bounds.lipschitz.evaluation import in_batches
from wdist.bounds.lipschitz.graph_reading import UnknownOperator
from wdist.bounds.lipschitz.reading import read_network
from wdist.bounds.lipschitz.upper import AVERAGED, PRODUCT, SEMIDEFINITE, lipschitz_upper
from wdist.errors import SourceError
from wdist.ground_metric import L2, GroundMetric
from wdist.lipschitz.linalg.rounding import product_above
from wdist.robustness.classifier import Evaluated, Logits

_SLAB = 100
_ALLOWANCE = 1e-9
"""Allowance for the rounding of a module, as a fraction of its largest logit: its float64 operations are not known in detail."""
_FEW = 12
"""Most classes whose pairs are each bounded on their own."""


_PROOFS = {
    PRODUCT: "the product of the norms of its operations",
    AVERAGED: "products of its matrices, averaged over the activations",
    SEMIDEFINITE: "a semidefinite bound",
}
"""Proof of the constants, by the method of the bound of the whole network."""


class ModuleClassifier:
    """A torch module with one logit for each class, in float64.

    Its certificates hold for exact arithmetic; evaluation is assumed to be accurate to a billionth of the largest logit.

    Arguments:
        module: maps a batch of samples to logits.
        shape: shape of one sample.
        what: name of the module in errors.

    Raises:
        SourceError: the module cannot be traced for this shape, or contains an operation without a known Lipschitz bound.
    """

    def __init__(self, module: nn.Module, shape: Sequence[int], *, what: str = "network") -> None:
        self.network = read_network(module, shape, what=what)
        self._module = in_batches(self.network.module, shape)
        self.shape, self.dim, self.classes = tuple(shape), math.prod(shape), self.network.outputs
        if self.classes < 2:
            raise SourceError(f"{what} has one output; a classifier has one for each class")

    @torch.no_grad()
    def evaluate(self, x: Tensor) -> Evaluated:
        """Logits at x, shape (n, dim), with the allowance for their rounding."""
        function = self.function(torch.device("cpu"), torch.float64)
        logits = torch.cat([function(part.cpu().double()) for part in x.split(_SLAB)])
        return Evaluated(logits=logits, rounding=_ALLOWANCE * float(logits.abs().max()))

    def function(self, device: torch.device, dtype: torch.dtype = torch.float32) -> Logits:
        """The classifier as a differentiable function, on a device and in a precision."""
        module = copy.deepcopy(self._module).to(device, dtype)
        return lambda x: module(x.reshape(-1, *self.shape)).flatten(1)

    def pair_constants(self, metric: GroundMetric) -> tuple[Tensor, str]:
        """Proved Lipschitz constants of the differences of two logits, shape (classes, classes), and the method.

        Raises:
            CertificateError: no bound is finite.
        """
        whole = lipschitz_upper(self.network, metric)
        factor = math.nextafter(math.sqrt(2), 2) if metric == L2 else 2.0
        pairs = torch.full((self.classes, self.classes), product_above(factor, whole.bound), dtype=torch.float64)
        for t, i in combinations(range(self.classes), 2) if self.classes <= _FEW else ():
            rows = torch.zeros(1, self.classes, dtype=torch.float64)
            rows[0, t], rows[0, i] = 1.0, -1.0
            alone = lipschitz_upper(self.network.followed_by(rows), metric, methods=(PRODUCT, AVERAGED)).bound
            pairs[t, i] = pairs[i, t] = min(float(pairs[t, i]), alone)
        return pairs, _PROOFS[whole.method]


def module_classifier(module: nn.Module, event_shape: Sequence[int], *, what: str = "network") -> ModuleClassifier:
    """A module as a classifier of samples of this shape, passed as they are, as one channel, or flattened, whichever it accepts.

    Raises:
        SourceError: the module accepts none of these, or contains an operation without a known Lipschitz bound.
    """
    shapes = [tuple(event_shape), *([(1, *event_shape)] if len(event_shape) == 2 else []), (math.prod(event_shape),)]
    for shape in dict.fromkeys(shapes):
        try:
            return ModuleClassifier(module, shape, what=what)
        except UnknownOperator as error:
            raise SourceError(f"{error}; a classifier without it can be certified") from error
        except SourceError as error:
            refused = error
    raise refused
