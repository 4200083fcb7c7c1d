"""GroupSort between layers that a step after each step draws towards the orthonormal ones.

References:
    Cisse, Bojanowski, Grave, Dauphin & Usunier (2017), Parseval networks: improving robustness to adversarial examples,
        arXiv:1704.08847.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, appendix B.1.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="parseval",
    title="GroupSort, Parseval weights",
    constraint="parseval",
    activation="group-sort",
)
