r"""Certification: radii within which the prediction of a classifier provably does not change.

Let t be the predicted class at x, :math:`m_i = y_t(x) - y_i(x)` its margin over class i, and :math:`K_{ti}` a Lipschitz constant of
the **difference** :math:`y_t - y_i`. For every perturbation with :math:`\|\delta\| \le \epsilon`,

.. math:: y_t(x + \delta) - y_i(x + \delta) \ge m_i - K_{ti}\, \epsilon ,

so t stays the prediction if :math:`m_i > K_{ti} \epsilon` for every :math:`i \ne t`: the certified radius is
:math:`\min_i m_i / K_{ti}`.

If every single logit is K-Lipschitz, as in a network from the maximum norm to the maximum norm, then
:math:`|y_t(x+\delta) - y_t(x)| \le K \epsilon` and the same holds for i, hence :math:`K_{ti} = 2 K`; no smaller factor is valid in
general: y(x) = (x, -x) is 1-Lipschitz, but its margin 2x moves by 2 epsilon. If the whole network is K-Lipschitz between Euclidean
norms, :math:`|(e_t - e_i)^\top (y(x+\delta) - y(x))| \le \sqrt 2 K \epsilon`, with equality for the identity of the plane. Both
follow from the last layer: with :math:`y = W h(x) + b` and h L-Lipschitz,

.. math:: K_{ti} = L\, \|w_t - w_i\|_* ,

where :math:`\|\cdot\|_*` is the Euclidean norm if L refers to Euclidean norms, and the l1 norm if L leads to the maximum norm.
That is at most :math:`\sqrt 2\, \|W\|_2 L` or :math:`2\, \|W\|_\infty L`, and is used here.

We depart from Anil et al., who certify a sample if its margin exceeds :math:`K \epsilon / 2` (section 4.3) or :math:`K \epsilon`
(figure 9), where K is the constant of the logits; neither suffices.

References:
    Tsuzuku, Sato & Sugiyama (2018), Lipschitz-margin training, arXiv:1802.04034, section 4 (the factor sqrt 2).
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.3 and figure 9.
"""

import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from wdist.errors import CertificateError
from wdist.ground_metric import LINF, GroundMetric
from wdist.lipschitz.convolution import Convolution
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.linalg.rounding import UNDERFLOW, gamma, product_above
from wdist.robustness.classifier import FrozenClassifier
from wdist.robustness.margin import margins
from wdist.robustness.modules import ModuleClassifier

_ROOT_2 = math.nextafter(math.sqrt(2), 2)
_VANISHED = 1e-140
"""Upper bound for a norm whose squares all underflow."""
_LEAST = 1e-300
"""Smallest constant, used for classes that the network does not distinguish, so that radii stay finite."""


@dataclass(frozen=True, kw_only=True)
class MarginConstants:
    """Lipschitz constants of all differences of two logits."""

    pairs: Tensor
    """:math:`K_{ti}`, float64, shape (classes, classes), symmetric; the diagonal is not used."""
    proof: str
    """Description of the chain of norms that gives the smaller constants."""

    @property
    def largest(self) -> float:
        """The largest constant."""
        return float(self.pairs.masked_fill(torch.eye(len(self.pairs), dtype=torch.bool), 0.0).max())


Classifier: TypeAlias = FrozenClassifier | ModuleClassifier


def margin_constants(classifier: Classifier, metric: GroundMetric) -> MarginConstants:
    """Proved Lipschitz constants of the differences of two logits, for perturbations measured in ``metric``.

    Raises:
        CertificateError: a layer has no finite bound.
    """
    if isinstance(classifier, ModuleClassifier):
        pairs, proof = classifier.pair_constants(metric)
    else:
        pairs, proof = _of_layers(classifier, metric)
    if not bool(torch.isfinite(pairs).all()):
        raise CertificateError("the classifier's Lipschitz bound is not finite; train again with a lower learning rate")
    return MarginConstants(pairs=pairs.clamp(min=_LEAST), proof=proof)


def _of_layers(classifier: FrozenClassifier, metric: GroundMetric) -> tuple[Tensor, str]:
    """The smaller constant of two chains of norms for each pair, and the chain whose largest constant is smaller."""
    body = classifier.layers[:-1]
    from_metric = math.nextafter(math.sqrt(classifier.dim), math.inf) if metric == LINF else 1.0
    euclidean = product_above(from_metric, *(bound.bound for bound in classifier.bounds[:-1]))
    maximum = product_above(1.0, *(layer.maximum(math.inf if i else metric.p).bound for i, layer in enumerate(body)))
    chains = {
        "Euclidean norms throughout": _scaled(_differences(classifier, 2.0), euclidean),
        "maximum norms behind the first layer": _scaled(_differences(classifier, 1.0 if body else metric.dual), maximum),
    }
    proof = min(chains, key=lambda chain: float(chains[chain].max()))
    return torch.stack(list(chains.values())).amin(0), proof


def _differences(classifier: FrozenClassifier, q: float) -> Tensor:
    """Lipschitz constants of y_t - y_i as functions of the input of the last layer, in the norm dual to the q-norm.

    That is the Euclidean norm for q = 2 and the maximum norm for q = 1. Shape (classes, classes).
    """
    last, classes = classifier.layers[-1], classifier.classes
    if not isinstance(last, Affine) or (isinstance(last, Convolution) and last.patches.count > 1):
        whole = (_ROOT_2, last.lipschitz().bound) if q == 2 else (2.0, last.maximum(math.inf if q == 1 else 1.0).bound)
        return torch.full((classes, classes), product_above(*whole), dtype=torch.float64)
    W = last.weight
    rows = [torch.linalg.vector_norm(W - row, ord=q, dim=1) for row in W]
    # Each difference rounds once, and the sum over a row once per term.
    return torch.stack(rows) * (1 + gamma(W.shape[1] + 8)) + _VANISHED


def _scaled(constants: Tensor, factor: float) -> Tensor:
    return constants * factor * (1 + gamma(4)) + UNDERFLOW


@dataclass(frozen=True, kw_only=True)
class Certified:
    """Proved properties of a classifier at some labelled samples."""

    correct: Tensor
    """Whether each prediction is correct, bool, shape (n,)."""
    radii: Tensor
    """Radii, float64, shape (n,): at every smaller distance, the prediction is correct; 0 for misclassified samples."""

    def error(self, eps: float) -> float:
        """The certified error: the fraction of samples not proved to be classified correctly within ``eps``, an upper bound for the
        error under every attack of that size."""
        return float((self.radii <= eps).double().mean())

    @property
    def clean_error(self) -> float:
        """The fraction of samples that are misclassified without a perturbation."""
        return float((~self.correct).double().mean())


def certify_classifier(classifier: Classifier, x: Tensor, labels: Tensor, constants: MarginConstants) -> Certified:
    """Certified radii at x, shape (n, dim), with labels of shape (n,), in the metric of ``constants``.

    Radii are valid for the exact function at exact x, because the rounding of the margins is subtracted.
    """
    evaluated = classifier.evaluate(x)
    found = margins(evaluated.logits, labels)
    proved = (found - evaluated.rounding).clamp(min=0.0) / constants.pairs[labels]
    # The quotient rounds once; rounded down, so that a radius is never too large.
    radii = proved.amin(1) * (1 - 4 * gamma(1))
    return Certified(correct=found.amin(1) > 0, radii=radii)
