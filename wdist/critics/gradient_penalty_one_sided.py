"""The one-sided gradient penalty: slopes above 1 cost something between the samples, and are bounded nowhere.

References:
    Petzka, Fischer & Lukovnikov (2018), On the regularization of Wasserstein GANs, arXiv:1709.08894.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="gradient-penalty-one-sided",
    title="ReLU, one-sided gradient penalty",
    constraint="none",
    activation="relu",
    penalty="gradient-penalty-one-sided",
)
