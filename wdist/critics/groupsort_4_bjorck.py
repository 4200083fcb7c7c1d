"""GroupSort with groups of four between orthonormal layers.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="groupsort-4-bjorck",
    title="GroupSort(4), orthonormal weights",
    constraint="bjorck",
    activation="group-sort",
    group_size=4,
)
