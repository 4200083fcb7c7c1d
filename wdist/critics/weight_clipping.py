"""Weight clipping, as the first Wasserstein GAN does it: a bound exists, but nobody says which.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="weight-clipping",
    title="ReLU, weight clipping",
    constraint="clip",
    activation="relu",
)
