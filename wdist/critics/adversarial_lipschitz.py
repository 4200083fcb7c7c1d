"""Adversarial Lipschitz regularisation: slopes above 1 cost something where the critic is steepest.

References:
    Terjék (2020), Adversarial Lipschitz regularization, arXiv:1907.05681.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="adversarial-lipschitz",
    title="ReLU, adversarial Lipschitz",
    constraint="none",
    activation="relu",
    penalty="adversarial-lipschitz",
)
