"""The absolute value between orthonormal layers: space is folded along hyperplanes, and as much can be said as with MaxMin.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.1 and appendix A.3.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="abs-bjorck",
    title="absolute value, orthonormal weights",
    constraint="bjorck",
    activation="abs",
)
