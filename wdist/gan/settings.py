"""What decides a generator's training; a checkpoint keeps it, so that a resumed run is the same run."""

from dataclasses import dataclass

from wdist.errors import UsageError

CRITICS = ("groupsort-conv", "groupsort", "gradient-penalty", "weight-clipping")
"""The first is the default."""


@dataclass(frozen=True, kw_only=True)
class GanSettings:
    """Sizes and manner of the training of one generator."""

    data: str
    """Address of the images."""
    critic: str = CRITICS[0]
    """One of :data:`CRITICS`."""
    latent: int = 64
    """Size of the latent vector, standard normal."""
    width: int = 32
    """Channels of the generator's first convolution; the sources have 128."""
    critic_width: int = 256
    """Units of the critic's fully connected layers; its convolutions follow. The sources have 1024."""
    critic_steps: int | None = None
    """Steps of the critic for each of the generator; None for what suits the critic."""
    batch_size: int = 64
    """Images of each side in one step."""
    learning_rate: float | None = None
    """Of the generator, by Adam; None for what suits the critic."""
    critic_learning_rate: float | None = None
    """Of the critic, in the units of its optimiser; None for what suits it."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.critic not in CRITICS:
            raise UsageError(f"--critic {self.critic!r} trains no generator; choose one of {', '.join(CRITICS)}")
        for name, most in (("latent", 65_536), ("width", 4096), ("critic_width", 16_384), ("critic_steps", 1000)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} must lie between 1 and {most}, not be {value}")
        if self.batch_size < 2:
            raise UsageError(f"--batch-size must be at least 2, because a batch is normalised, not {self.batch_size}")
        for name in ("learning_rate", "critic_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} must be positive and finite, not {value}")
        if self.seed < 0:
            raise UsageError(f"--seed must be at least 0, not {self.seed}")
