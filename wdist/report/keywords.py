"""Advice for the command line in the words of Python: ``--drop-nonfinite`` becomes ``drop_nonfinite=True``."""

from __future__ import annotations

import re

SWITCHES = frozenset({"trust", "download", "drop-nonfinite", "resume"})
"""Options without a value."""
RENAMED = {
    "lambda": "lambda_",
    "max": "maximum",
    "max-time": "max_seconds",
    "min": "minimum",
    "plot": "plot()",
    "save-proof": "wdist.save_proof",
    "tol": "tolerance",
    "with": "with_",
    "witness": "witnesses",
}
"""Options whose keyword is not their name with underscores."""
_WORDS = "samples|population|detected|block|reference|cpu|l1|l2|linf|NAME"
"""Values that messages show behind an option, besides numbers."""
_OPTION = re.compile(rf"(?<![\w-])--([a-z][a-z-]*[a-z])(?: (\d[\w./]*|{_WORDS})(?!\w))?")


def in_python(text: str) -> str:
    """The text with keyword arguments in the place of options, and ``name=value`` where an option has a value."""
    return _OPTION.sub(_keyword, text)


def _keyword(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    keyword = RENAMED.get(name, name.replace("-", "_"))
    if name in SWITCHES:
        return f"{keyword}=True" + ("" if value is None else f" {value}")
    if value is None:
        return keyword
    return f"{keyword}={value}" if value[0].isdigit() and value.replace(".", "").isdigit() else f'{keyword}="{value}"'
