"""The catalogue of critics, one row each with its citation. A new setting is a row; a new idea is a file and a row."""

from collections.abc import Sequence
from typing import Any

from wdist.critics import c_transform, radial
from wdist.critics.conv import convolutional
from wdist.critics.max_sliced import max_sliced
from wdist.critics.mean_difference import mean_difference
from wdist.critics.sparse_mean_difference import sparse_mean_difference
from wdist.errors import UsageError
from wdist.ground_metric import L2, GroundMetric
from wdist.training.closed_forms import ClosedFormKind
from wdist.training.cones import ConeKind
from wdist.training.elliptic_cones import MOST_ELLIPTIC_DIM, EllipticConeKind
from wdist.training.kind import CriticKind
from wdist.training.networks import NetworkKind

_PAPER = "Anil, Lucas & Grosse 2019, Sorting out Lipschitz function approximation"
_TABLE_2 = f"{_PAPER}, table 2"
_SPECTRAL = "Miyato, Kataoka, Koyama & Yoshida 2018, Spectral normalization for generative adversarial networks, arXiv:1802.05957"
_MAXOUT = f"Goodfellow et al. 2013, Maxout networks, arXiv:1302.4389; {_TABLE_2}"
_MAXMIN = f"Chernodub & Nowicki 2016, Norm-preserving orthogonal permutation linear units, arXiv:1604.02313; {_PAPER}, section 4.1"
_HOUSEHOLDER = "Singla, Singla & Feizi 2022, Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100, arXiv:2108.04062"
_CAYLEY = "Lezcano-Casado & Martínez-Rubio 2019, Cheap orthogonal constraints in neural networks, arXiv:1901.08428"
_PARSEVAL = f"Cisse et al. 2017, Parseval networks, arXiv:1704.08847; {_PAPER}, appendix B.1"
_CLIPPING = "Arjovsky, Chintala & Bottou 2017, Wasserstein GAN, arXiv:1701.07875"
_GRADIENT_PENALTY = "Gulrajani et al. 2017, Improved training of Wasserstein GANs, arXiv:1704.00028"
_ONE_SIDED = "Petzka, Fischer & Lukovnikov 2018, On the regularization of Wasserstein GANs, arXiv:1709.08894"
_ADVERSARIAL = "Terjék 2020, Adversarial Lipschitz regularization, arXiv:1907.05681"
_CONV = f"{_PAPER}, section 4 and appendix H.3"
_EXTENSION = "McShane 1934, Extension of range of functions"
_CONES = f"{_EXTENSION}; Korotin, Kolesov & Burnaev 2022, Kantorovich strikes back!, arXiv:2206.07767"
_MEANS = "Villani 2009, Optimal transport: old and new, chapter 6"
_MAX_SLICED = "Deshpande et al. 2019, Max-sliced Wasserstein distance and its use for GANs, arXiv:1904.05877"
_SHRUNKEN = "Tibshirani et al. 2002, Diagnosis of multiple cancer types by shrunken centroids of gene expression"
_LINE = "Villani 2003, Topics in optimal transportation, section 2.2"
_SINKHORN = "Cuturi 2013, Sinkhorn distances: lightspeed computation of optimal transport, arXiv:1306.0895"


def _network(name: str, title: str, constraint: str, activation: str, source: str, **others: Any) -> NetworkKind:
    return NetworkKind(name=name, title=title, constraint=constraint, activation=activation, source=source, **others)


def _penalised(name: str, title: str, source: str) -> NetworkKind:
    """A ReLU network whose slope is limited only by the penalty of this name."""
    return _network(name, f"ReLU, {title}", "none", "relu", source, penalty=name)


_KINDS: tuple[CriticKind, ...] = (
    # The network of the paper: every layer preserves the norm of the gradient.
    _network("groupsort-bjorck", "GroupSort, orthonormal weights", "bjorck", "group-sort", f"{_PAPER}, section 4"),
    # ReLU: inactive units lose the gradient. With spectral normalisation, the critic of most Wasserstein GANs.
    _network("relu-spectral", "ReLU, spectral normalisation", "spectral", "relu", _SPECTRAL),
    _network("relu-bjorck", "ReLU, orthonormal weights", "bjorck", "relu", f"{_PAPER}, section 3 and table 2"),
    # Other activations of table 2. Maxout passes the gradient to one unit of each pair.
    _network("maxout-spectral", "Maxout, spectral normalisation", "spectral", "maxout", _MAXOUT, group_size=2),
    _network("maxout-bjorck", "Maxout, orthonormal weights", "bjorck", "maxout", _MAXOUT, group_size=2),
    _network("maxmin-spectral", "MaxMin, spectral normalisation", "spectral", "group-sort", _TABLE_2, group_size=2),
    _network("maxmin-bjorck", "MaxMin, orthonormal weights", "bjorck", "group-sort", _MAXMIN, group_size=2),
    _network("groupsort-4-spectral", "GroupSort(4), spectral normalisation", "spectral", "group-sort", _TABLE_2, group_size=4),
    _network("groupsort-4-bjorck", "GroupSort(4), orthonormal weights", "bjorck", "group-sort", _TABLE_2, group_size=4),
    _network("groupsort-9-spectral", "GroupSort(9), spectral normalisation", "spectral", "group-sort", _TABLE_2, group_size=9),
    _network("groupsort-9-bjorck", "GroupSort(9), orthonormal weights", "bjorck", "group-sort", _TABLE_2, group_size=9),
    _network("groupsort-spectral", "GroupSort, spectral normalisation", "spectral", "group-sort", f"{_PAPER}, appendix B.2"),
    _network("fullsort-bjorck", "FullSort, orthonormal weights", "bjorck", "full-sort", f"{_PAPER}, section 4.1 and table 1"),
    _network("abs-bjorck", "absolute value, orthonormal weights", "bjorck", "abs", f"{_PAPER}, section 4.1 and appendix A.3"),
    # MaxMin with learnt reflections.
    _network("householder-bjorck", "Householder, orthonormal weights", "bjorck", "householder", _HOUSEHOLDER, group_size=2),
    # Other ways to orthonormal weights: differentiated iterations as in the paper, torch's parametrisation, a retraction step.
    _network(
        "groupsort-bjorck-unrolled", "GroupSort, unrolled Björck", "bjorck-unrolled", "group-sort", f"{_PAPER}, section 4.2.1"
    ),
    _network("groupsort-cayley", "GroupSort, Cayley transform", "cayley", "group-sort", _CAYLEY),
    _network(
        "groupsort-conv",
        "GroupSort, orthonormal convolutions",
        "bjorck",
        "group-sort",
        _CONV,
        architecture=convolutional,
        depth=5,
        learning_rate=0.1,
    ),
    _network("parseval", "GroupSort, Parseval weights", "parseval", "group-sort", _PARSEVAL),
    # The first layer maps the metric of the samples to the maximum norm, in which all other layers have norm 1.
    _network("linf-groupsort", "GroupSort, maximum norms", "linf", "group-sort", f"{_PAPER}, theorem 3 and section 4.2.2"),
    # Without a constraint that bounds the Lipschitz constant: clipped or penalised.
    _network("weight-clipping", "ReLU, weight clipping", "clip", "relu", _CLIPPING),
    _penalised("gradient-penalty", "gradient penalty", _GRADIENT_PENALTY),
    _penalised("gradient-penalty-one-sided", "one-sided gradient penalty", _ONE_SIDED),
    _penalised("lipschitz-penalty", "Lipschitz penalty", _ONE_SIDED),
    _penalised("adversarial-lipschitz", "adversarial Lipschitz", _ADVERSARIAL),
    _penalised("spectral-jacobian", "spectral Jacobian", f"{_PAPER}, appendix F"),
    ConeKind(name="cones", title="envelope of cones", source=_CONES),
    EllipticConeKind(name="elliptic-cones", title="envelope of elliptic cones", source=_EXTENSION),
    # Closed forms: what every trained critic must beat.
    ClosedFormKind(name="mean-difference", title="difference of the means", source=_MEANS, formula=mean_difference),
    ClosedFormKind(
        name="sparse-mean-difference", title="difference of few means", source=_SHRUNKEN, formula=sparse_mean_difference
    ),
    ClosedFormKind(name="max-sliced", title="best projection on a line", source=_MAX_SLICED, formula=max_sliced, seconds=0.3),
    ClosedFormKind(name="single-cone", title="one cone", source=f"{_PAPER}, section 7.1", formula=radial.single_cone),
    ClosedFormKind(name="radial", title="best function of the distance from a point", source=_LINE, formula=radial.radial),
    ClosedFormKind(
        name="c-transform",
        title="c-transform of exact potentials",
        source=_EXTENSION,
        formula=c_transform.exact_extension,
        most_samples=c_transform.most_samples,
        seconds=2.5,
    ),
    ClosedFormKind(
        name="c-transform-entropic",
        title="c-transform of entropic potentials",
        source=_SINKHORN,
        formula=c_transform.entropic_extension,
        seconds=2.5,
    ),
)

CATALOGUE: dict[str, CriticKind] = {kind.name: kind for kind in _KINDS}
"""All critics by name, in the order of tables."""
DEFAULT_BASELINES = ("relu-spectral", "relu-bjorck")
_AUTOMATIC = ("mean-difference", "sparse-mean-difference", "max-sliced", "single-cone", "radial", "cones")


def network(name: str) -> NetworkKind:
    """The network with this name."""
    kind = CATALOGUE[name]
    assert isinstance(kind, NetworkKind)
    return kind


def main_network(metric: GroundMetric = L2) -> NetworkKind:
    """The network of the paper; for metrics other than l2, the one built for them."""
    return network("groupsort-bjorck" if metric == L2 else "linf-groupsort")


def automatic(metric: GroundMetric = L2, *, dim: int = 1) -> tuple[CriticKind, ...]:
    """The kinds that ``--critic auto`` chooses from, in the order in which they are tried."""
    elliptic = (CATALOGUE["elliptic-cones"],) if metric == L2 and dim <= MOST_ELLIPTIC_DIM else ()
    return (*(CATALOGUE[name] for name in _AUTOMATIC), *elliptic, main_network(metric), CATALOGUE["c-transform"])


def default_critics(metric: GroundMetric = L2) -> tuple[str, ...]:
    """Names of the paper's network and its ReLU baselines."""
    return (main_network(metric).name, *DEFAULT_BASELINES)


def named(names: Sequence[str], option: str) -> tuple[CriticKind, ...]:
    """The kinds with these names, without repetitions; errors name ``option`` as their origin.

    Raises:
        UsageError: a name is unknown.
    """
    for name in names:
        if name not in CATALOGUE:
            raise UsageError(f"{option} {name!r} is not a critic; choose among {', '.join(CATALOGUE)}")
    return tuple(CATALOGUE[name] for name in dict.fromkeys(names))
