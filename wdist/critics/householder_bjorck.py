"""Householder activations between orthonormal layers: MaxMin whose mirrors are learnt.

References:
    Singla, Singla & Feizi (2022), Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100, arXiv:2108.04062.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="householder-bjorck",
    title="Householder, orthonormal weights",
    constraint="bjorck",
    activation="householder",
    group_size=2,
)
