"""Critics that are found without training: what every trained one must beat."""

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from wdist.critics.frozen import FrozenCritic
from wdist.data.rows import Rows
from wdist.data.standardisation import Standardisation
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.frozen_layer import FrozenLayer


@dataclass(frozen=True, kw_only=True)
class ClosedFormRecipe:
    """One kind of critic that follows from the training samples; its file's docstring is its citation."""

    name: str
    """As users write it and results show it."""
    title: str
    """In a few words, for tables and help."""
    layers: Callable[[Tensor, Tensor, GroundMetric], list[FrozenLayer]]
    """From standardised training samples of A and B, float64, shapes (n, dim) and (m, dim), and the metric."""
    most_samples: Callable[[int], int] | None = None
    """From the dimension, of each side that it looks at; None for as many as there is room for."""
    bound_by_construction: bool = True

    def fit(
        self, a: Tensor | Rows, b: Tensor | Rows, standardisation: Standardisation, metric: GroundMetric, *, lipschitz: float = 1.0
    ) -> FrozenCritic:
        """The critic.

        Arguments:
            a, b: training samples in the units of the data; as tensors of shapes (n, dim) and (m, dim).
            standardisation: becomes a part of the critic.
            metric: in which its Lipschitz constant is 1.
            lipschitz: K of the frozen function.
        """
        layers = self.layers(standardisation.of(a), standardisation.of(b), metric)
        return FrozenCritic(layers, standardisation, lipschitz=lipschitz)


def steepest_direction(difference: Tensor, metric: GroundMetric) -> Tensor:
    """The w with dual norm 1 and the largest w . difference, which is the norm of the difference; shape (dim,).

    Any such w where the difference is 0.
    """
    if not bool(difference.any()):
        difference = difference.new_zeros(difference.shape).index_fill(0, difference.new_zeros(1).long(), 1.0)
    if metric.p == 2:
        return difference / difference.norm()
    if metric.p == 1:
        return difference.sign()
    largest = difference.abs().argmax()
    return difference.new_zeros(difference.shape).index_fill(0, largest.reshape(1), float(difference[largest].sign()))
