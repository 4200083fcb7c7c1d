"""Spectral Jacobian regularisation: the largest singular value of the Jacobian at the samples costs something above 1.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix F.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="spectral-jacobian",
    title="ReLU, spectral Jacobian",
    constraint="none",
    activation="relu",
    penalty="spectral-jacobian",
)
