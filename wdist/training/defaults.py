"""Size and training of a critic, chosen from the shape of the data where the user has not chosen."""

from wdist.critics.recipe import GROUP_SIZE, CriticRecipe
from wdist.critics.settings import CriticSettings
from wdist.lipschitz.constraints import constraint
from wdist.training.budget import Budget
from wdist.training.optimizers import LEARNING_RATES

DEPTH = 4
BATCH_SIZE = 512


def settle(recipe: CriticRecipe, settings: CriticSettings, *, dim: int, participation: float) -> CriticSettings:
    """Fills in everything that the user left open.

    A first layer narrower than the data caps the bound (a cone over a sphere in n dimensions loses a factor sqrt(width / n)), so
    the width follows the number of directions that the data really has.

    Arguments:
        recipe: has a say in the optimiser.
        settings: of the user.
        dim: coordinates of a sample.
        participation: about how many directions carry the variance of the training samples.
    """
    recipe = recipe.chosen(settings)
    settings = recipe.settle(settings)
    optimizer, weights = settings.optimizer or "muon", constraint(recipe.constraint)
    width = settings.width or _width(dim, participation, settings.group_size or GROUP_SIZE)
    return settings.filled(
        width=width,
        depth=DEPTH,
        group_size=GROUP_SIZE if width % GROUP_SIZE == 0 else _largest_divisor(width, GROUP_SIZE),
        batch_size=BATCH_SIZE,
        optimizer=optimizer,
        learning_rate=LEARNING_RATES[optimizer],
        schedule="cosine",
        bjorck_order=1,
        bjorck_iterations=weights.iterations,
        beta=weights.beta,
        lipschitz=1.0,
    )


def _width(dim: int, participation: float, multiple: int) -> int:
    wanted = max(128 if dim <= 32 else 256, min(1024, 128 * round(min(participation, dim) / 128)))
    return -(-wanted // multiple) * multiple


def _largest_divisor(width: int, most: int) -> int:
    return max(k for k in range(1, min(width, most) + 1) if width % k == 0)


def default_budget(settings: CriticSettings, *, dim: int, samples: int | None) -> Budget:
    """A number of steps that takes about half a minute on two cores, from the sizes alone, so that it repeats on every machine.

    Arguments:
        settings: with nothing left open.
        dim: coordinates of a sample.
        samples: that train on the smaller side, None where there is no end of them; few need no more than some hundred rounds.
    """
    width, depth, batch = settings.width or 0, settings.depth or 0, settings.batch_size or 0
    weights = dim * width + (depth - 2) * width * width + width
    # Forward and backward of both sides, the orthogonalised update (nine products on the smaller side) and a quarter retraction.
    products = 12 * batch * weights + 20 * min(dim, width) * dim * width + 20 * (depth - 2) * width**3
    sorting = 2 * batch * width * depth * 4000
    most = 2500 if samples is None else min(2500, max(300, _ROUNDS * samples // batch))
    return Budget(steps=max(60, min(most, round(_FLOPS / (products + sorting)))))


_ROUNDS = 400
_FLOPS = 30 * 2.0e11
"""In half a minute: fitted to measured steps on two cores."""


def default_cone_budget(settings: CriticSettings, *, dim: int, samples: int | None) -> Budget:
    """The same for the ascent of cones, which soon shows whether it suits the pair: a quarter of a minute.

    Arguments:
        settings: with nothing left open.
        dim: coordinates of a sample.
        samples: that train on the smaller side, None where there is no end of them.
    """
    batch = min(settings.batch_size or 0, samples or settings.batch_size or 0)
    # Of both sides: a product of matrices, some passes over all distances, and some over all samples.
    work = 2 * batch * ((settings.centres or 0) * (2 * dim + 300) + 20 * dim)
    return Budget(steps=max(60, min(_MOST_CONE_STEPS, round(_CONE_FLOPS / work))))


_MOST_CONE_STEPS = 300
_CONE_FLOPS = 15 * 1e11
"""In a quarter of a minute, likewise."""
