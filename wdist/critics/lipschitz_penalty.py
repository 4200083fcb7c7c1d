"""The Lipschitz penalty: slopes above 1 between pairs of samples cost something.

References:
    Petzka, Fischer & Lukovnikov (2018), On the regularization of Wasserstein GANs, arXiv:1709.08894.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="lipschitz-penalty",
    title="ReLU, Lipschitz penalty",
    constraint="none",
    activation="relu",
    penalty="lipschitz-penalty",
)
