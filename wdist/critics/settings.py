"""Settings of a critic and its training; None for a choice based on the shape of the data."""

from dataclasses import dataclass

from wdist.arguments import check_fields
from wdist.errors import UsageError

OPTIMIZERS = ("muon", "orthogonal-sgd", "adam", "aggmo")
SCHEDULES = ("linear", "cosine", "step", "constant")
LEAST_LIPSCHITZ, LARGEST_LIPSCHITZ = 1e-6, 1e6
"""Range of :attr:`CriticSettings.lipschitz` in which values neither underflow nor overflow."""


@dataclass(frozen=True, kw_only=True)
class CriticSettings:
    """The user's choices about the size and training of a critic."""

    width: int | None = None
    """Units of each hidden layer."""
    depth: int | None = None
    """Number of linear layers, including the last one, which has one output."""
    group_size: int | None = None
    """Number of units that GroupSort sorts together; 2 is MaxMin, and the whole width is FullSort. Must divide the width."""
    batch_size: int | None = None
    """Samples of each side in one step."""
    optimizer: str | None = None
    """One of :data:`OPTIMIZERS`."""
    learning_rate: float | None = None
    """Learning rate of the weight matrices, in the optimiser's own units."""
    schedule: str | None = None
    """Schedule of the learning rate: one of :data:`SCHEDULES`."""
    activation: str | None = None
    """Name of an activation (``maxmin``, ``relu``, ``leaky-relu:0.1``), for a network that is not in the catalogue."""
    constraint: str | None = None
    """Name of the constraint on the linear layers (``bjorck``, ``spectral``, ``none``), for such a network."""
    bjorck_order: int | None = None
    """Order of the Björck iterations, 1 to 4."""
    bjorck_iterations: int | None = None
    """Number of Björck iterations; None for the constraint's default."""
    beta: float | None = None
    """Step size of first-order Björck iterations or of Parseval's retraction, in (0, 1]; None for the constraint's default."""
    centres: int | None = None
    """Number of cones of a cone critic."""
    lipschitz: float | None = None
    """Lipschitz constant K of the saved critic; bounds are divided by it."""

    def __post_init__(self) -> None:
        check_fields(self)
        for name in ("width", "depth", "group_size", "batch_size", "bjorck_order", "bjorck_iterations", "centres"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"--{name.replace('_', '-')} must be at least 1, not {value}")
        if self.learning_rate is not None and not 0 < self.learning_rate < float("inf"):
            raise UsageError(f"--learning-rate must be positive and finite, not {self.learning_rate}")
        if self.lipschitz is not None and not LEAST_LIPSCHITZ <= self.lipschitz <= LARGEST_LIPSCHITZ:
            raise UsageError(f"--lipschitz must lie between {LEAST_LIPSCHITZ:g} and {LARGEST_LIPSCHITZ:g}, not {self.lipschitz}")
        if self.depth is not None and self.depth < 2:
            raise UsageError(f"--depth counts the linear layers and must be at least 2, not {self.depth}")
        if self.bjorck_order is not None and self.bjorck_order > 4:
            raise UsageError(f"--bjorck-order must be 1, 2, 3 or 4, not {self.bjorck_order}")
        if self.beta is not None and not 0 < self.beta <= 1:
            raise UsageError(f"--beta must be above 0 and at most 1, not {self.beta}")
        if self.optimizer is not None and self.optimizer not in OPTIMIZERS:
            raise UsageError(f"--optimizer {self.optimizer!r} is unknown; choose one of {', '.join(OPTIMIZERS)}")
        if self.schedule is not None and self.schedule not in SCHEDULES:
            raise UsageError(f"--schedule {self.schedule!r} is unknown; choose one of {', '.join(SCHEDULES)}")
        if self.width is not None and self.group_size is not None and self.width % self.group_size:
            raise UsageError(f"--group-size {self.group_size} does not divide --width {self.width}; choose a divisor")
