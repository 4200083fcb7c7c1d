"""GroupSort between layers that are orthonormalised in the forward pass, as the paper trains them.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.2.1.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="groupsort-bjorck-unrolled",
    title="GroupSort, unrolled Björck",
    constraint="bjorck-unrolled",
    activation="group-sort",
)
