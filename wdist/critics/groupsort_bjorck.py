"""GroupSort between orthonormal layers: every layer keeps the norm of the gradient, so slope 1 costs no bending.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="groupsort-bjorck",
    title="GroupSort, orthonormal weights",
    constraint="bjorck",
    activation="group-sort",
)
