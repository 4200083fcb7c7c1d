"""FullSort, one group over the whole layer, between orthonormal layers: most is said by few units, but it is harder to train.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.1 and table 1.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="fullsort-bjorck",
    title="FullSort, orthonormal weights",
    constraint="bjorck",
    activation="full-sort",
)
