"""MaxMin, which is GroupSort with groups of two, between orthonormal layers.

References:
    Chernodub & Nowicki (2016), Norm-preserving orthogonal permutation linear unit activation functions, arXiv:1604.02313.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 4.1.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="maxmin-bjorck",
    title="MaxMin, orthonormal weights",
    constraint="bjorck",
    activation="group-sort",
    group_size=2,
)
