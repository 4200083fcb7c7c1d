r"""The best function of the distance from one point, in closed form.

.. math:: f(x) = \varphi(\|x - a\|)

The distance from a point is 1-Lipschitz, so W1 between the two distributions of it is a lower bound; and that is a problem on the
line, whose optimal potential is known. Where both sides are symmetric about one point it is the whole answer.

References:
    Villani (2003), Topics in optimal transportation, section 2.2 (the line).
"""

from torch import Tensor

from wdist.critics.closed_form import ClosedFormRecipe
from wdist.critics.max_sliced import potential_on_the_line
from wdist.critics.single_cone import best_centre
from wdist.ground_metric import GroundMetric
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.frozen_layer import FrozenLayer


def _layers(a: Tensor, b: Tensor, metric: GroundMetric) -> list[FrozenLayer]:
    centre, _ = best_centre(a, b, metric)
    distance = Cones(centres=centre.unsqueeze(0), offsets=centre.new_zeros(1), p=metric.p)
    return [distance, potential_on_the_line(distance(a).squeeze(1), distance(b).squeeze(1))]


RECIPE = ClosedFormRecipe(name="radial", title="best function of the distance from a point", layers=_layers)
