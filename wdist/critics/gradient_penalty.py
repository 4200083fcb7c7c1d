"""The two-sided gradient penalty: slopes are drawn to 1 between the samples, and bounded nowhere.

References:
    Gulrajani, Ahmed, Arjovsky, Dumoulin & Courville (2017), Improved training of Wasserstein GANs, arXiv:1704.00028.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="gradient-penalty",
    title="ReLU, gradient penalty",
    constraint="none",
    activation="relu",
    penalty="gradient-penalty",
)
