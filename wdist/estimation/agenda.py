"""The agenda of one command: what is under way, and how long it and everything after it is expected to take."""

from wdist.training.observer import CriticFinished, CriticStarted, Observer, Stage


class Agenda:
    """Announces stages and critics to an observer, with the time left.

    Arguments:
        observer: is told of each.
    """

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self._pending = 0.0
        self._critics = 0
        self._position = 0

    def plan(self, seconds: float, *, critics: int = 0) -> None:
        """Adds work that is to come."""
        self._pending += seconds
        self._critics += critics

    def stage(self, what: str, expected: float | None = None) -> None:
        """Announces a stage; ``expected`` seconds of it were planned."""
        self._pending = max(0.0, self._pending - (expected or 0.0))
        self.observer.notify(Stage(what=what, expected=expected, after=self._pending))

    def critic(self, name: str, budget: str, expected: float) -> None:
        """Announces a critic."""
        self._position += 1
        self._pending = max(0.0, self._pending - expected)
        self.observer.notify(
            CriticStarted(
                critic=name,
                position=self._position,
                critics=max(self._critics, self._position),
                budget=budget,
                expected=expected,
                after=self._pending,
            )
        )

    def found(self, name: str, *, steps: int, seconds: float, best: float | None, interrupted: bool) -> None:
        """Announces that a critic is found."""
        self.observer.notify(CriticFinished(critic=name, steps=steps, seconds=seconds, best=best, interrupted=interrupted))

    def skip(self, expected: float, *, critics: int = 1) -> None:
        """Removes work that turned out to be unnecessary."""
        self._pending = max(0.0, self._pending - expected)
        self._critics -= critics
