"""GroupSort between layers of torch's orthogonal parametrisation: a cross-check of the Björck layers.

References:
    Lezcano-Casado & Martínez-Rubio (2019), Cheap orthogonal constraints in neural networks, arXiv:1901.08428.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="groupsort-cayley",
    title="GroupSort, Cayley transform",
    constraint="cayley",
    activation="group-sort",
)
