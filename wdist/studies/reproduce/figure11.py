"""Figure 11: inside a GroupSort network with two hidden layers of four units that approximates a curve like the letter W.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, figure 11, appendix A.1.
"""

from torch import Tensor

from wdist.studies.reproduce.experiment import Experiment
from wdist.studies.reproduce.small_network import SmallFit, look, operations


def _letter_w(x: Tensor) -> Tensor:
    """||x| - 1|: slope 1 almost everywhere, feet at -1 and 1."""
    return (x.abs() - 1).abs()


PROBLEM = SmallFit(
    target=_letter_w, target_name="the letter W", reach=2.0, hidden=(4, 4), steps=1500, learning_rate=0.01, restarts=10
)

EXPERIMENT = Experiment(
    name="figure11",
    title="Pre-activations and activations for the letter W",
    source="figure 11, appendix A.1",
    conduct=lambda conditions: look(PROBLEM, conditions),
    operations=lambda quick: operations(PROBLEM),
)
