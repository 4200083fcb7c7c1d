"""What is measured of gates."""

from dataclasses import dataclass

from wdist.bench.chance import most_by_chance
from wdist.gating.interval import On


@dataclass(frozen=True, kw_only=True)
class GateRow:
    """All gates of one case at one limit."""

    case: str
    rule: str
    """``max`` or ``baseline``."""
    on: On
    samples: int
    limit: float
    """Over the truth; for a baseline, the most that was allowed over the truth."""
    runs: int
    passed: int
    failed: int
    wrong: int
    stated: float
    """Error that the confidence leaves; 0 on sample sets."""

    @property
    def inconclusive(self) -> int:
        return self.runs - self.passed - self.failed

    @property
    def share_inconclusive(self) -> float:
        return self.inconclusive / self.runs

    @property
    def share_wrong(self) -> float:
        return self.wrong / self.runs

    @property
    def holds(self) -> bool:
        """No oftener wrong than a verdict that is wrong as often as stated is by chance, but for one time in a thousand."""
        return self.wrong <= most_by_chance(self.runs, self.stated)
