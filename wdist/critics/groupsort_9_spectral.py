"""GroupSort with groups of nine between layers divided by their spectral norm.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2.
"""

from wdist.critics.recipe import CriticRecipe

RECIPE = CriticRecipe(
    name="groupsort-9-spectral",
    title="GroupSort(9), spectral normalisation",
    constraint="spectral",
    activation="group-sort",
    group_size=9,
)
