"""What reproducing a table or figure of the paper gives: our numbers beside the paper's, and the curves to draw."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from wdist.environment import Environment
from wdist.studies.claim_check import Finding
from wdist.training.observer import Observer, Silent

PAPER = "Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, arXiv:1811.05381"


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Under what a table or figure is made."""

    quick: bool = False
    """A few minutes instead of the paper's sizes."""
    seed: int = 0
    device: str = "auto"
    root: str = "data"
    """Where torchvision finds its datasets."""
    download: bool = False
    """Whether torchvision may fetch one that is missing."""
    data: Mapping[str, str] = field(default_factory=dict)
    """Addresses of data by the name of their column, for an experiment that compares generators with them."""
    generators: Mapping[str, str] = field(default_factory=dict)
    """Addresses of generators, likewise."""
    trust: bool = False
    """Whether code that comes with them may run."""
    observer: Observer = field(default_factory=Silent)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One number of ours beside the paper's."""

    row: str
    """For example ``MaxMin``."""
    column: str = ""
    """For example ``dimension 128, depth 3``."""
    ours: float
    paper: float | tuple[float, float] | None = None
    """A number, the two ends of a range, or None where the paper states none."""
    unit: str = ""

    @property
    def difference(self) -> float | None:
        """Ours less the paper's; to the nearer end of a range, and 0 inside it. None where the paper states no number."""
        if self.paper is None:
            return None
        low, high = self.paper if isinstance(self.paper, tuple) else (self.paper, self.paper)
        return self.ours - min(max(self.ours, low), high)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One named curve."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    dashed: bool = False
    """A reference rather than a result."""

    def __post_init__(self) -> None:
        if len(self.x) != len(self.y):
            raise ValueError(f"series {self.name!r} has {len(self.x)} abscissae and {len(self.y)} ordinates")


@dataclass(frozen=True, kw_only=True)
class Curves:
    """One panel of curves over a common axis."""

    title: str
    x_label: str
    y_label: str
    series: tuple[Series, ...]
    log_x: bool = False
    steps: bool = False
    """Whether the curves are histograms: y belongs to the bin that begins at x."""
    ticks: tuple[str, ...] = ()
    """Names of the abscissae 0, 1, 2, ..., where they are no numbers."""


@dataclass(frozen=True, kw_only=True)
class Surface:
    """One panel that shows a function of the plane."""

    title: str
    x: NDArray[Any]
    """Shape (columns,)."""
    y: NDArray[Any]
    """Shape (rows,)."""
    z: NDArray[Any]
    """Shape (rows, columns)."""
    peaks: tuple[tuple[float, float], ...] = ()
    """Points to mark."""
    main: bool = False


@dataclass(frozen=True, kw_only=True)
class Reproduction:
    """A table or figure of the paper, made again."""

    what: str
    """``table1``, ``figure4``, ..."""
    title: str
    source: str
    """Section, table or figure of the paper."""
    quick: bool
    seed: int
    reduced: tuple[str, ...]
    """What ``--quick`` made smaller, a clause each; empty in the full form."""
    settings: dict[str, str | int | float]
    comparisons: tuple[Comparison, ...]
    findings: tuple[Finding, ...] = ()
    panels: tuple[Curves | Surface, ...] = ()
    remarks: tuple[str, ...] = ()
    """Where we depart from the paper and why, a sentence each."""
    seconds: float
    full_seconds: float
    """That the full form takes on this machine, as predicted."""
    environment: Environment

    @property
    def largest_difference(self) -> Comparison | None:
        """Where ours lies farthest from the paper's number; None where the paper states none."""
        compared = [comparison for comparison in self.comparisons if comparison.difference is not None]
        return max(compared, key=lambda comparison: abs(comparison.difference or 0.0), default=None)
