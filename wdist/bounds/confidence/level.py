"""A confidence in words."""

_DIGITS, _MOST_DIGITS = 6, 17


def per_cent(confidence: float) -> str:
    """As per cent, with no more digits than it has, and with so many that what is less than certain does not read as 100 %.

    Arguments:
        confidence: a share of one, such as 0.95, which is ``95 %``.
    """
    for digits in range(_DIGITS, _MOST_DIGITS):
        shown = f"{100 * confidence:.{digits}g}"
        if confidence >= 1 or float(shown) < 100:
            break
    return f"{shown} %"
