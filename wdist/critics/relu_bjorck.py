"""ReLU between orthonormal layers: 1-Lipschitz, but a unit that is off keeps no gradient.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 3 and table 2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="relu-bjorck",
    title="ReLU, orthonormal weights",
    constraint="bjorck",
    activation="relu",
)
