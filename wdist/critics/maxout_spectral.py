"""Maxout between layers divided by their spectral norm: the gradient goes to one unit of each pair, the other is lost.

References:
    Goodfellow, Warde-Farley, Mirza, Courville & Bengio (2013), Maxout networks, arXiv:1302.4389.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="maxout-spectral",
    title="Maxout, spectral normalisation",
    constraint="spectral",
    activation="maxout",
    group_size=2,
)
