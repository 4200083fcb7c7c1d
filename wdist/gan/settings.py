"""Settings of a generator's training, saved with its state, so that a resumed training continues unchanged."""

from dataclasses import dataclass

from wdist.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CriticDefaults:
    """Defaults for training with a critic, used if the settings leave them open."""

    critic_steps: int = 5
    """Steps of the critic for each step of the generator."""
    critic_learning_rate: float = 5e-4
    learning_rate: float = 5e-4
    """Learning rate of the generator."""
    certified: bool = False
    """Whether the critic is 1-Lipschitz, so that it proves a lower bound."""
    penalty: str | None = None
    """Penalty subtracted from the dual value: a name in :data:`wdist.training.penalties.PENALTIES`; None for none."""
    activation: str = "leaky-relu"
    """Activation of a critic without a certificate: ``leaky-relu`` or ``maxmin``; certified critics use MaxMin."""


# The papers on critics without a certificate take a hundred thousand steps at rates of 1e-4 and 5e-5; at the default rates, digits
# are visible after a few hundred.
_CERTIFIED = CriticDefaults(critic_steps=2, critic_learning_rate=0.02, certified=True)
_PENALTIES = ("gradient-penalty", "gradient-penalty-one-sided", "lipschitz-penalty", "adversarial-lipschitz", "unconstrained")
CRITICS = {
    "groupsort-conv": _CERTIFIED,
    "groupsort": _CERTIFIED,
    **{name: CriticDefaults(penalty=name) for name in _PENALTIES},
    "gradient-penalty-maxmin": CriticDefaults(penalty="gradient-penalty", activation="maxmin"),
    "weight-clipping": CriticDefaults(),
}


@dataclass(frozen=True, kw_only=True)
class GanSettings:
    """Sizes of the networks and hyperparameters of the training."""

    data: str
    """Address of the images."""
    critic: str = "groupsort-conv"
    """Key of :data:`CRITICS`."""
    latent: int = 64
    """Size of the standard normal latent vector."""
    width: int = 32
    """Channels of the generator's first convolution; 128 in the papers."""
    critic_width: int = 256
    """Units of the critic's fully connected layers, which also scale its convolutions; 1024 in the papers."""
    critic_steps: int | None = None
    """Steps of the critic for each step of the generator; None for the critic's default."""
    batch_size: int = 64
    """Number of real images, and of generated ones, in one step."""
    learning_rate: float | None = None
    """Learning rate of the generator's Adam; None for the critic's default."""
    critic_learning_rate: float | None = None
    """Learning rate of the critic's optimiser; None for the critic's default."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.critic not in CRITICS:
            raise UsageError(f"--critic {self.critic!r} cannot train a generator; choose one of {', '.join(CRITICS)}")
        for name, most in (("latent", 65_536), ("width", 4096), ("critic_width", 16_384), ("critic_steps", 1000)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= most:
                raise UsageError(f"--{name.replace('_', '-')} must be between 1 and {most}, not {value}")
        if self.batch_size < 2:
            raise UsageError(f"--batch-size must be at least 2, because batches are normalised, not {self.batch_size}")
        for name in ("learning_rate", "critic_learning_rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value < float("inf"):
                raise UsageError(f"--{name.replace('_', '-')} must be positive and finite, not {value}")
        if self.seed < 0:
            raise UsageError(f"--seed must be at least 0, not {self.seed}")
