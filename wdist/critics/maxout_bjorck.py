"""Maxout between orthonormal layers: the gradient goes to one unit of each pair, but no layer attenuates it.

References:
    Goodfellow, Warde-Farley, Mirza, Courville & Bengio (2013), Maxout networks, arXiv:1302.4389.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="maxout-bjorck",
    title="Maxout, orthonormal weights",
    constraint="bjorck",
    activation="maxout",
    group_size=2,
)
