"""ReLU between layers divided by their spectral norm: the critic that most Wasserstein GANs use.

References:
    Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative adversarial networks, arXiv:1802.05957.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="relu-spectral",
    title="ReLU, spectral normalisation",
    constraint="spectral",
    activation="relu",
)
