"""What a critic is to be found for, and what was found."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from wdist.critics.blend import BlendRecipe
from wdist.critics.catalogue import Recipe
from wdist.critics.frozen import FrozenCritic
from wdist.critics.settings import CriticSettings
from wdist.data.pairing import Pair
from wdist.data.rows import ResidentRows
from wdist.estimation.result import Attempt
from wdist.ground_metric import L2, GroundMetric
from wdist.training.budget import Budget
from wdist.training.loop import Trained
from wdist.training.observer import Observer


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """A critic as it came out of training, or of a formula."""

    recipe: Recipe | BlendRecipe
    """Its kind, with what was found out about it."""
    critic: FrozenCritic
    trained: Trained
    settings: dict[str, str | int | float | None]
    """As shown to the user."""
    tried: tuple[Attempt, ...] = ()
    """What it was chosen from, where several kinds were tried."""
    members: tuple["Fitted", ...] = ()
    """The same critics themselves."""
    interrupted: bool = False


Shelf = dict[tuple[str, int, float], Fitted]
"""Critics of one pair that are trained already, by their name, their seed and their share of the budget."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """What a critic is to be found for, and by which means."""

    pair: Pair
    settings: CriticSettings
    """Of the user; what is open is chosen from the shape of the data."""
    budget: Budget | None
    """Of the training; None for about half a minute."""
    seed: int
    """Of the weights."""
    device: torch.device
    """Of the training."""
    observer: Observer
    """Is told of start, progress and end."""
    metric: GroundMetric = L2
    """Between samples."""
    position: int = 1
    critics: int = 1
    """Of this critic among those of one result, for the observer."""
    shelf: Shelf = field(default_factory=dict)
    """Of this pair, with the settings and the budget of this task; what is there need not be trained again."""

    @property
    def interrupted(self) -> bool:
        """Ctrl-C has come in what was trained already."""
        return any(found.interrupted for found in self.shelf.values())

    @property
    def dim(self) -> int:
        """Coordinates of a sample."""
        return self.pair.a.info.dim

    @property
    def lipschitz(self) -> float:
        """K of the critic that is frozen."""
        return self.settings.lipschitz or 1.0

    @property
    def training_samples(self) -> int | None:
        """On the smaller side; None where both are streamed or drawn."""
        sides = (self.pair.a, self.pair.b)
        return min((side.training_rows.count for side in sides if side.training_rows is not None), default=None)

    def standardised(self, x: Tensor) -> Tensor:
        """Samples in the units of the data, shape (n, dim), as critics in training see them: float32, on their device."""
        standardisation = self.pair.standardisation.to(self.device)
        return standardisation.apply(x.to(self.device, non_blocking=True)).float()

    def validation(self, limit: int) -> tuple[Tensor, Tensor]:
        """At most ``limit`` standardised samples of the validation split of each side."""

        def chosen(rows: ResidentRows) -> Tensor:
            return self.pair.standardisation.to(self.device).of(rows.some(limit), torch.float32)

        return chosen(self.pair.a.validation), chosen(self.pair.b.validation)
