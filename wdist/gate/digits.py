"""Numbers in the sentences of a gate: rounded to the safe side, with so many digits that they still show what they prove."""

from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal

_DIGITS, _MOST_DIGITS = 4, 18
_FIXED_FROM, _FIXED_TO = -4, 7
"""Decimal exponents between which numbers are written without a power of ten."""


def exactly(value: float) -> str:
    """With so many digits that it reads as the same number: a limit as the user wrote it."""
    short = f"{value:g}"
    return short if float(short) == value else repr(value)


def at_least(value: float, *, above: float | None = None) -> str:
    """Rounded down, with so many digits that it still shows to be above."""
    return _rounded(max(value, 0.0), ROUND_FLOOR, lambda shown: above is None or not value > above or shown > above)


def at_most(value: float, *, within: float | None = None) -> str:
    """Rounded up, with so many digits that it still shows to be within."""
    return _rounded(value, ROUND_CEILING, lambda shown: within is None or not value <= within or shown <= within)


def _rounded(value: float, rounding: str, shows: Callable[[float], bool]) -> str:
    if value == 0:
        return "0"
    text = ""
    for digits in range(_DIGITS, _MOST_DIGITS):
        context = Context(prec=digits, rounding=rounding)
        shown = context.create_decimal(value)
        shown = shown.quantize(Decimal(1).scaleb(shown.adjusted() - digits + 1), context=context)  # 1.500, as in the tables
        text = f"{shown:f}" if _FIXED_FROM <= shown.adjusted() < _FIXED_TO else f"{shown:g}"
        if shows(float(text)):
            break
    return text
