"""Critics of the paper's synthetic experiments, each trained by ``estimate`` on a pair with known W1."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from wdist.critics.settings import CriticSettings
from wdist.data.sources.pairs import KnownPair
from wdist.estimation.estimate import estimate
from wdist.estimation.result import CriticResult
from wdist.studies.dual_training import critic_operations
from wdist.studies.progress import SuiteProgress
from wdist.studies.study import ClaimCheck, Conditions, complete

TITLES = {
    "relu": "ReLU",
    "tanh": "tanh",
    "abs": "absolute value",
    "maxout:2": "Maxout",
    "maxmin": "MaxMin",
    "full-sort": "FullSort",
}
"""Activations as the paper writes them."""
TRUTH = 1.0
"""W1 of all pairs of these experiments."""
Key = TypeVar("Key")


@dataclass(frozen=True, kw_only=True)
class PaperCritic:
    """Settings of one critic of an experiment."""

    label: str
    """Its name while it trains."""
    activation: str
    constraint: str = "bjorck"
    width: int
    depth: int
    """Linear layers, the last included."""
    batch_size: int
    optimizer: str
    learning_rate: float | None = None
    schedule: str | None = None
    steps: int

    @property
    def settings(self) -> CriticSettings:
        """The same settings for ``estimate``."""
        return CriticSettings(
            activation=self.activation,
            constraint=self.constraint,
            width=self.width,
            depth=self.depth,
            batch_size=self.batch_size,
            optimizer=self.optimizer,
            learning_rate=self.learning_rate,
            schedule=self.schedule,
        )

    @property
    def facts(self) -> dict[str, str | int | float]:
        """Settings that the critics of an experiment share."""
        return {
            "width": self.width,
            "optimizer": self.optimizer,
            "steps": self.steps,
            "batch size": self.batch_size,
            "constraint": self.constraint,
            "truth": TRUTH,
        }

    def operations(self, dim: int) -> float:
        """Operations of its training on samples of that dimension."""
        muon, batch = self.optimizer == "muon", 2 * self.batch_size
        return critic_operations(dim=dim, width=self.width, depth=self.depth, batch=batch, steps=self.steps, muon=muon)


def trained(
    critics: Mapping[Key, PaperCritic], pair: Callable[[Key], KnownPair], conditions: Conditions
) -> Iterator[tuple[Key, CriticResult]]:
    """Trained and certified critics, one after the other; the population estimate is the held-out dual value over the certificate.

    Arguments:
        critics: the settings of each.
        pair: maps the key of a critic to its two distributions.
        conditions: seed, device and observer.

    Raises:
        KeyboardInterrupt: a training was cut short.
    """
    progress = SuiteProgress(conditions, runs=len(critics))
    for key, critic in critics.items():
        sides = pair(key)
        with progress.run(critic.label, steps=critic.steps) as observer:
            result = estimate(
                sides.a,
                sides.b,
                settings=critic.settings,
                steps=critic.steps,
                baselines="none",
                couplings=False,
                seed=conditions.seed,
                device=conditions.device,
                observer=observer,
                truth=sides.w1,
            )
        yield key, complete(result).critic


def truth_check(what: str, values: Iterable[float]) -> ClaimCheck:
    """Checks that no value of some kind exceeds the truth."""
    largest = max(values)
    return ClaimCheck(claim=f"No {what} exceeds the truth, 1.", holds=largest <= TRUTH, detail=f"the largest is {largest:.6f}")
