"""GroupSort with groups of nine between orthonormal layers.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="groupsort-9-bjorck",
    title="GroupSort(9), orthonormal weights",
    constraint="bjorck",
    activation="group-sort",
    group_size=9,
)
