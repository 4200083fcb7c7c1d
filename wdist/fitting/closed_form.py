"""Critics that follow from a formula."""

import time

import torch

from wdist.critics.closed_form import ClosedFormRecipe
from wdist.dual import dual_value, evaluate
from wdist.fitting.samples import training_sample
from wdist.fitting.task import Fitted, Task
from wdist.result import HistoryPoint
from wdist.training.loop import Trained

_FIT_NUMBERS = 1 << 24
"""Coordinates that the samples of each side may have together."""


def fit_closed_form(recipe: ClosedFormRecipe, task: Task) -> Fitted:
    """A critic by its formula, from training samples alone."""
    began = time.perf_counter()
    a, b = (training_sample(side, _FIT_NUMBERS // side.info.dim) for side in (task.pair.a, task.pair.b))
    standardisation = task.pair.standardisation.to(torch.device("cpu"))
    critic = recipe.fit(a, b, standardisation, task.metric, lipschitz=task.lipschitz)
    value = dual_value(*(evaluate(critic, [side]) for side in (a, b))) / task.lipschitz
    seconds = time.perf_counter() - began
    # One point of a history that is over at once; the training samples are all that it has seen.
    history = (HistoryPoint(step=0, seconds=seconds, training=value, validation=value),)
    trained = Trained(steps=0, seconds=seconds, history=history, interrupted=False, final=True)
    return Fitted(recipe=recipe, critic=critic, trained=trained, settings={"lipschitz": task.lipschitz})
