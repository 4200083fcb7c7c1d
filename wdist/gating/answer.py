"""The three answers of a gate."""

from enum import StrEnum

from wdist.errors import ExitStatus


class Answer(StrEnum):
    """What a gate says."""

    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"

    @property
    def exit_status(self) -> ExitStatus:
        """0, 1 and 3."""
        return {
            Answer.PASS: ExitStatus.DONE,
            Answer.FAIL: ExitStatus.GATE_FAILED,
            Answer.INCONCLUSIVE: ExitStatus.INCONCLUSIVE,
        }[self]
