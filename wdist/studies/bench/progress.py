"""What a suite tells while it runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from wdist.studies.bench.bench import Conditions
from wdist.training.budget import Budget
from wdist.training.observer import CriticFinished, CriticStarted, Event, Progress, SamplesBounded


class Teller:
    """Tells the runs of the suite as if each trained one critic, whatever an estimate tries."""

    def __init__(self, conditions: Conditions, *, runs: int) -> None:
        self._observer, self._runs, self._done = conditions.observer, runs, 0
        self._budget = conditions.budget or "default budget"
        self._seconds = seconds_of(conditions.budget)
        self._label, self._began, self._last = "", 0.0, 0.0
        self._best, self._steps = 0.0, 0

    @contextmanager
    def run(self, label: str) -> Iterator["Teller"]:
        """One run; what is yielded listens to its estimate."""
        self._done += 1
        self._label, self._began, self._best, self._steps = label, time.perf_counter(), 0.0, 0
        self._observer.notify(CriticStarted(critic=label, position=self._done, critics=self._runs, budget=self._budget))
        yield self
        seconds = time.perf_counter() - self._began
        self._observer.notify(CriticFinished(critic=label, steps=self._steps, seconds=seconds, best=self._best, interrupted=False))

    def notify(self, event: Event) -> None:
        match event:
            case Progress():
                seconds = time.perf_counter() - self._began
                fraction = event.fraction if self._seconds is None else min(seconds / self._seconds, 1.0)
                self._best, self._steps = max(self._best, event.validation), max(self._steps, event.step)
                self._observer.notify(replace(event, critic=self._label, fraction=fraction, seconds=seconds, best=self._best))
            case SamplesBounded():
                self._observer.notify(event)


def seconds_of(budget: str | None) -> float | None:
    """The length of a budget; None where there is none."""
    return None if budget is None else Budget.parse(budget).seconds
