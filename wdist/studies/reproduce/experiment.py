"""One table or figure of the paper as something that can be run, in a quick and in a full form."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wdist.environment import choose_device, environment
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.forecast import machine_rate
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Reproduction, Surface


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What an experiment found; :class:`~wdist.studies.reproduce.reproduction.Reproduction` adds what is known without running it."""

    settings: dict[str, Any]
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...] = ()
    panels: tuple[Curves | Surface, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """A table or figure: its name, its place in the paper, and how it is made."""

    name: str
    title: str
    source: str
    """Where in the paper, with its appendix."""
    conduct: Callable[[Conditions], Outcome]
    operations: Callable[[bool], float]
    """Floating-point operations, as far as they decide the time; of the quick form if True."""
    reduced: tuple[str, ...] = ()
    """What the quick form makes smaller, a clause each."""
    takes_generators: bool = False
    """Whether data and generators of the user make a difference."""

    def forecast(self, *, quick: bool, device: str = "auto", rate: float | None = None) -> float:
        """Seconds that a form will take on this machine: good to a factor of about two.

        Arguments:
            quick: the quick form rather than the full one.
            device: of the training.
            rate: operations a second, where they are measured already.
        """
        return self.operations(quick) / (rate or machine_rate(choose_device(device)))

    def run(self, conditions: Conditions) -> Reproduction:
        """Makes the table or figure.

        Raises:
            WdistError: its data are not there, or a training diverged.
        """
        began = time.perf_counter()
        full_seconds = self.forecast(quick=False, device=conditions.device)
        outcome = self.conduct(conditions)
        return Reproduction(
            what=self.name,
            title=self.title,
            source=self.source,
            quick=conditions.quick,
            seed=conditions.seed,
            reduced=self.reduced if conditions.quick else (),
            settings=outcome.settings,
            comparisons=outcome.comparisons,
            findings=outcome.findings,
            panels=outcome.panels,
            remarks=outcome.remarks,
            seconds=time.perf_counter() - began,
            full_seconds=full_seconds,
            environment=environment(choose_device(conditions.device)),
        )
