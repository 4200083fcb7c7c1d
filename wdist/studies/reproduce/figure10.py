"""Figure 10: inside a GroupSort network with one hidden layer of two units that approximates the absolute value.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 10, appendix A.1.
"""

from torch import Tensor

from wdist.studies.reproduce.experiment import Experiment
from wdist.studies.reproduce.small_network import SmallFit, look, operations


def _absolute_value(x: Tensor) -> Tensor:
    return x.abs()


PROBLEM = SmallFit(
    target=_absolute_value, target_name="the absolute value", reach=2.0, hidden=(2,), steps=400, learning_rate=0.1, restarts=4
)

EXPERIMENT = Experiment(
    name="figure10",
    title="Pre-activations and activations for the absolute value",
    source="figure 10, appendix A.1",
    conduct=lambda conditions: look(PROBLEM, conditions),
    operations=lambda quick: operations(PROBLEM),
)
