"""Critics that follow from a formula."""

import time

import torch

from wdist.bounds.dual import dual_value
from wdist.critics.closed_form import ClosedFormRecipe
from wdist.estimation.samples import FIT_ROWS, evaluate_rows
from wdist.estimation.task import Fitted, Task
from wdist.training.loop import Trained
from wdist.training.observer import HistoryPoint

_FIT_NUMBERS = 1 << 23
"""Coordinates that the samples of each side may have together, 64 MB."""


def fit_closed_form(recipe: ClosedFormRecipe, task: Task) -> Fitted:
    """A critic by its formula, from training samples alone."""
    began = time.perf_counter()
    wanted = FIT_ROWS if recipe.most_samples is None else recipe.most_samples(task.dim)
    limit = max(1, min(wanted, _FIT_NUMBERS // task.dim))
    a, b = (side.training_sample(limit, drawn=FIT_ROWS) for side in (task.pair.a, task.pair.b))
    standardisation = task.pair.standardisation.to(torch.device("cpu"))
    critic = recipe.fit(a, b, standardisation, task.metric, lipschitz=task.lipschitz)
    value = dual_value(*(evaluate_rows(critic, side) for side in (a, b))) / task.lipschitz
    seconds = time.perf_counter() - began
    # One point of a history that is over at once; the training samples are all that it has seen.
    history = (HistoryPoint(step=0, seconds=seconds, training=value, validation=value),)
    trained = Trained(steps=0, seconds=seconds, history=history, interrupted=False, final=True)
    return Fitted(recipe=recipe, critic=critic, trained=trained, settings={"lipschitz": task.lipschitz})
