"""Numbers as a reader sees them: lower bounds rounded down, upper bounds rounded up, so that what is printed is still proved."""

from decimal import ROUND_HALF_EVEN, Decimal

from wdist.bounds.digits import at_least as at_least
from wdist.bounds.digits import at_most as at_most
from wdist.bounds.digits import certificate as certificate
from wdist.bounds.digits import exactly as exactly
from wdist.bounds.digits import nearest as nearest
from wdist.bounds.digits import per_cent

level = per_cent
"""A confidence as per cent with no more digits than it has: ``95 %``, ``99.9 %``."""


def lower_bound(value: float, digits: int = 4) -> str:
    """A lower bound for W1, rounded down; a negative one only says that W1 is at least 0."""
    return at_least(max(value, 0.0), digits)


def percentage(share: float, *, rounding: str = ROUND_HALF_EVEN) -> str:
    """A share of one as per cent with one decimal, for example ``99.2 %``."""
    return f"{Decimal(100 * share).quantize(Decimal('0.1'), rounding=rounding)} %"


def p_value(probability: float) -> str:
    """A p-value with its sign: ``p = 0.031``, ``p < 0.0001``."""
    return "p < 0.0001" if probability < 1e-4 else f"p = {probability:.2g}"


def bare_p_value(probability: float) -> str:
    """A p-value in a column of p-values: ``0.031``, ``< 0.0001``."""
    return p_value(probability).removeprefix("p ").removeprefix("= ")


def counted(n: int) -> str:
    """A whole number with its thousands apart: ``60,000``."""
    return f"{n:,}"


def counted_as(n: int, noun: str) -> str:
    """A count of something: ``1 step``, ``60,000 samples``."""
    return f"{counted(n)} {noun}{'' if n == 1 else 's'}"


def compact(n: int) -> str:
    """A whole number in at most five characters: ``812``, ``67.2k``, ``1.05M``."""
    for factor, suffix in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if n >= 0.9995 * factor:
            return f"{n / factor:.3g}{suffix}"
    return str(n)


def duration(seconds: float) -> str:
    """A length of time in words: ``0.8 s``, ``42 s``, ``2 min 05 s``, ``1 h 10 min``, ``125 days``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 4 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole / 86400:.0f} days"


def short_duration(seconds: float) -> str:
    """A length of time in the cell of a table: ``1.2s``, ``340s``."""
    return f"{seconds:.1f}s" if seconds < 99.95 else f"{seconds:.0f}s"


def shape(event_shape: tuple[int, ...]) -> str:
    """The shape of one sample: ``28x28``; ``1`` for a scalar."""
    return "x".join(str(size) for size in event_shape) or "1"
