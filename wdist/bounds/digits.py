"""Decimal digits of bounds: lower bounds are rounded down and upper bounds up, so that the numbers shown are proved as well."""

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal

_ENOUGH = 18
"""Significant digits that distinguish every float64 from its neighbours."""
_FIXED_FROM, _FIXED_TO = -4, 7
"""Range of decimal exponents of numbers written without a power of ten; the upper end is excluded."""


def at_least(value: float, digits: int = 4, *, above: float | None = None) -> str:
    """A lower bound rounded down to ``digits`` significant digits, or more if it would no longer exceed ``above``."""
    return _shown(value, digits, ROUND_FLOOR, lambda shown: above is None or not value > above or shown > above)


def at_most(value: float, digits: int = 4, *, within: float | None = None) -> str:
    """An upper bound rounded up to ``digits`` significant digits, or more if it would exceed ``within``."""
    return _shown(value, digits, ROUND_CEILING, lambda shown: within is None or not value <= within or shown <= within)


def told_apart(one: float, other: float) -> tuple[str, str]:
    """Two different values with as many digits as show that they differ, at least six."""
    texts = ((nearest(one, digits), nearest(other, digits)) for digits in range(6, _ENOUGH + 1))
    return next((pair for pair in texts if pair[0] != pair[1]), (repr(one), repr(other)))


def certificate(bound: float) -> str:
    """A Lipschitz bound, rounded up; its excess over 1 is written out where it would vanish in the digits: ``1+2.3e-10``."""
    excess = bound - 1
    if 0 < excess < 1e-3:
        return f"1+{rounded(excess, 1, ROUND_CEILING)}" if excess < 1e-4 else at_most(bound, 5)
    return "1" if excess == 0 else at_most(bound, 4)


def nearest(value: float, digits: int = 4) -> str:
    """A value that is not a bound, rounded to the nearest number with ``digits`` significant digits."""
    return rounded(value, digits, ROUND_HALF_EVEN)


def without_zeros(shown: str) -> str:
    """A number without the zeros that end its decimals: ``0.5`` for ``0.5000``, ``1.6e-5`` for ``1.600e-5``."""
    number, e, exponent = shown.partition("e")
    return (number.rstrip("0").rstrip(".") if "." in number else number) + e + exponent


def exactly(value: float) -> str:
    """A limit as the user wrote it: enough digits to read back the same number."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def per_cent(confidence: float) -> str:
    """A confidence such as 0.95 as ``95 %``: no more digits than it has, but enough that only certainty reads as 100 %."""
    for digits in range(6, 17):
        shown = f"{100 * confidence:.{digits}g}"
        if confidence >= 1 or float(shown) < 100:
            break
    return f"{shown} %"


def rounded(value: float, digits: int, rounding: str) -> str:
    """A number with ``digits`` significant digits, rounded as :mod:`decimal` names it; words for nan and infinity."""
    if not math.isfinite(value):
        return "none" if math.isnan(value) else ("infinite" if value > 0 else "-infinite")
    if value == 0:
        return "0"
    exact = Decimal(value)
    shown = exact.quantize(Decimal(1).scaleb(exact.adjusted() - digits + 1), rounding=rounding)
    if _FIXED_FROM <= shown.adjusted() < _FIXED_TO:
        return f"{shown:.{max(0, digits - 1 - exact.adjusted())}f}"
    return f"{shown.normalize():.{digits - 1}e}".replace("e+", "e")


def _shown(value: float, digits: int, rounding: str, shows: Callable[[float], bool]) -> str:
    text = rounded(value, digits, rounding)
    while math.isfinite(value) and digits < _ENOUGH and not shows(float(text)):
        digits += 1
        text = rounded(value, digits, rounding)
    return text
