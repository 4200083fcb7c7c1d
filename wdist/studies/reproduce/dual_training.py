"""Critics of the paper's synthetic experiments, each trained by the product's own ``estimate`` on a pair with known W1."""

from dataclasses import dataclass, replace

from wdist.critics.settings import CriticSettings
from wdist.data.sources.pairs import KnownPair
from wdist.estimation.estimate import estimate
from wdist.estimation.result import CriticResult
from wdist.studies.reproduce.reproduction import Conditions
from wdist.training.observer import CriticFinished, CriticStarted, Event, Observer, Progress

TITLES = {
    "relu": "ReLU",
    "leaky-relu:0.1": "leaky ReLU",
    "tanh": "tanh",
    "abs": "absolute value",
    "maxout:2": "Maxout",
    "maxmin": "MaxMin",
    "group-sort:4": "GroupSort(4)",
    "full-sort": "FullSort",
}
"""Activations as the paper writes them."""


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One critic of an experiment."""

    label: str
    """As it is shown while it trains."""
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
        """The same in the words of ``estimate``."""
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


class _Labelled:
    """Hands events on under the label of a trial, counted among those of its experiment."""

    def __init__(self, observer: Observer, label: str, position: int, trials: int) -> None:
        self._observer, self._label, self._position, self._trials = observer, label, position, trials

    def notify(self, event: Event) -> None:
        match event:
            case CriticStarted():
                event = replace(event, critic=self._label, position=self._position, critics=self._trials)
            case Progress() | CriticFinished():
                event = replace(event, critic=self._label)
            case _:
                return
        self._observer.notify(event)


def train_one(pair: KnownPair, trial: Trial, conditions: Conditions, *, position: int, trials: int) -> CriticResult:
    """One trained and certified critic; its population estimate is the held-out dual value over its certificate.

    Arguments:
        pair: the two distributions.
        trial: the critic.
        conditions: seed, device and observer.
        position, trials: of this trial in its experiment, for the observer.

    Raises:
        KeyboardInterrupt: the training was interrupted: half an experiment is none.
    """
    result = estimate(
        pair.a,
        pair.b,
        settings=trial.settings,
        steps=trial.steps,
        baselines="none",
        seed=conditions.seed,
        device=conditions.device,
        observer=_Labelled(conditions.observer, trial.label, position, trials),
        truth=pair.w1,
        command="reproduce",
    )
    if result.interrupted:
        raise KeyboardInterrupt
    return result.critic
