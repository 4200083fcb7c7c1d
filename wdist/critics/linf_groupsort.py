"""GroupSort between layers of norm 1 in the maximum norm, behind a first layer from the metric of the samples to it.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, theorem 3 and section 4.2.2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="linf-groupsort",
    title="GroupSort, maximum norms",
    constraint="linf",
    activation="group-sort",
)
