"""Progress of a study that trains many critics."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

from wdist.checkpoints.checkpoint import now
from wdist.estimation.estimate import run_estimate
from wdist.estimation.options import EstimateOptions
from wdist.estimation.result import Estimate
from wdist.studies.study import Conditions
from wdist.training.budget import Budget
from wdist.training.observer import CriticFinished, CriticStarted, Event, Observer, Progress, SamplesBounded


class SuiteProgress:
    """Reports each of the ``runs`` estimates of a study as the training of one critic, however many critics it trains."""

    def __init__(self, conditions: Conditions, *, runs: int) -> None:
        self._observer, self._runs, self._done, self._spent = conditions.observer, runs, 0, 0.0
        self._budget, self._seconds, self._device = conditions.budget, seconds_of(conditions.budget), conditions.device
        self._label, self._began, self._best, self._steps = "", 0.0, 0.0, 0

    @contextmanager
    def run(self, label: str, *, steps: int | None = None) -> Iterator["SuiteProgress"]:
        """Announces one run, of ``steps`` steps if there is no budget, and yields the observer of its estimate."""
        expected = self._seconds or (self._spent / self._done if self._done else None)
        self._done += 1
        self._label, self._began, self._best, self._steps = label, now(), 0.0, 0
        self._observer.notify(
            CriticStarted(
                critic=label,
                position=self._done,
                critics=self._runs,
                budget=self._budget or ("default budget" if steps is None else f"{steps} steps"),
                expected=expected,
                after=None if expected is None else expected * (self._runs - self._done),
            )
        )
        yield self
        seconds = now() - self._began
        self._spent += seconds
        self._observer.notify(CriticFinished(critic=label, steps=self._steps, seconds=seconds, best=self._best, interrupted=False))

    def estimate(self, label: str, a: Any, b: Any, *, steps: int | None = None, **arguments: Any) -> Estimate:
        """Makes one estimate without baselines, within the study's budget or a number of steps.

        Raises:
            KeyboardInterrupt: the user interrupted the estimate.
        """
        with self.run(label, steps=steps) as observer:
            how: Any = {"budget": self._budget, "steps": steps, "device": self._device, "observer": observer, **arguments}
            return estimated(a, b, baselines="none", **how)

    def notify(self, event: Event) -> None:
        match event:
            case Progress():
                seconds = now() - self._began
                fraction = event.fraction if self._seconds is None else min(seconds / self._seconds, 1.0)
                self._best, self._steps = max(self._best, event.validation), max(self._steps, event.step)
                self._observer.notify(replace(event, critic=self._label, fraction=fraction, seconds=seconds, best=self._best))
            case SamplesBounded():
                self._observer.notify(event)


def seconds_of(budget: str | None) -> float | None:
    """Seconds of a budget such as ``2m``; None without a budget."""
    return None if budget is None else Budget.parse(budget).seconds


def estimated(a: Any, b: Any, *, observer: Observer | None = None, truth: float | None = None, **arguments: Any) -> Estimate:
    """Makes a complete estimate; the arguments are those of :func:`wdist.estimate`.

    Raises:
        KeyboardInterrupt: the user interrupted the estimate.
    """
    return complete(run_estimate(a, b, EstimateOptions.validated(**arguments), observer=observer, truth=truth))


class _Interruptible(Protocol):
    @property
    def interrupted(self) -> bool: ...


R = TypeVar("R", bound=_Interruptible)


def complete(result: R) -> R:
    """Returns a complete result; KeyboardInterrupt if the user interrupted the work."""
    if result.interrupted:
        raise KeyboardInterrupt
    return result
