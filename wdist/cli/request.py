"""Words of the user that become arguments of the library, checked before anything slow is imported."""

from wdist.errors import UsageError
from wdist.training.budget import Budget


def checked_budget(steps: int | None, length: str | None) -> Budget | None:
    """The budget of ``--steps`` or ``--budget``; None where neither is given.

    Raises:
        UsageError: both are given, or the length of time cannot be read.
    """
    if steps is not None and length is not None:
        raise UsageError("--steps and --budget both limit the training; give one of them")
    if length is not None:
        return Budget.parse(length)
    return None if steps is None else Budget(steps=steps)


def checked_confidence(confidence: float) -> float:
    """The same confidence.

    Raises:
        UsageError: it is below 0.5, or not below 1.
    """
    if not 0.5 <= confidence < 1:
        raise UsageError(f"--confidence must be at least 0.5 and below 1, not {confidence:g}; 95 % is written 0.95")
    return confidence


def named_baselines(words: str) -> str | list[str]:
    """``none``, ``default`` or ``all`` as they are, anything else as the list of names that commas separate."""
    if words in ("none", "default", "all"):
        return words
    names = [name.strip() for name in words.split(",") if name.strip()]
    if not names:
        raise UsageError("--baselines names no critic; write none, default, all, or names with commas")
    return names
