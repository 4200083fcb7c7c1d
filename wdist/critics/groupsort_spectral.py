"""GroupSort between layers divided by their spectral norm: the activation keeps the gradient's norm, the weights need not.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix B.2 and table 2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="groupsort-spectral",
    title="GroupSort, spectral normalisation",
    constraint="spectral",
    activation="group-sort",
)
