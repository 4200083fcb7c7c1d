"""MaxMin between layers divided by their spectral norm: the activation keeps the gradient, the weights need not.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2.
    Miyato, Kataoka, Koyama & Yoshida (2018), Spectral normalization for generative adversarial networks, arXiv:1802.05957.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="maxmin-spectral",
    title="MaxMin, spectral normalisation",
    constraint="spectral",
    activation="group-sort",
    group_size=2,
)
