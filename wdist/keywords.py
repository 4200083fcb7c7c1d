"""Names of options in messages: ``--drop-nonfinite`` while a command runs, ``drop_nonfinite=True`` in Python.

Options of addresses, such as ``?without=id``, stay as they are, except for samples passed as values, which have no address.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

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
"""Options whose keyword differs from the option's name with underscores."""
_WORDS = r"samples|population|detected|block|reference\+\d+%|reference|cpu|l1|l2|linf|welch|drop|level|std|[A-Z]+"
"""Values that messages show after an option, besides numbers; capitals are placeholders."""
_OPTION = re.compile(rf"(?<![\w-])--([a-z][a-z-]*[a-z])(?: (\d[\w./]*%?|{_WORDS})(?!\w))?")
_VALUES = re.compile(r"<(tensor|array|frame|dataset)( \w+)?>")
"""Names of samples passed as values."""
_OF_VALUES = (
    (re.compile(r" with \?without=.*?(?=, or |;|$)"), ""),
    (re.compile(r"by position with \?names=no"), "by position as arrays"),
    (re.compile(r" with \?columns="), ""),
    (re.compile(r"save it as a plain numeric array"), "convert it, for example with x.astype(float)"),
)
"""Options of addresses in messages, and their replacements for samples passed as values."""
_command_runs = False


@contextmanager
def command_line() -> Iterator[None]:
    """Lets errors name options as the command line does while a command runs."""
    global _command_runs
    before, _command_runs = _command_runs, True
    try:
        yield
    finally:
        _command_runs = before


def for_caller(text: str) -> str:
    """A message that names options, as the caller knows them: unchanged for a command, with keyword arguments in Python."""
    return text if _command_runs else in_python(text)


def in_python(text: str, *, of_values: bool = False) -> str:
    """Replaces options in a text by keyword arguments, with ``name=value`` if an option has a value.

    Arguments:
        text: a message.
        of_values: whether it is about samples passed as values; if not, the names in the text decide.
    """
    text = _OPTION.sub(_keyword, text)
    if of_values or _VALUES.search(text):
        for pattern, words in _OF_VALUES:
            text = pattern.sub(words, text)
    return text


def _keyword(match: re.Match[str]) -> str:
    name, value = match[1], match[2]
    keyword = RENAMED.get(name, name.replace("-", "_"))
    if name in SWITCHES:
        return f"{keyword}=True" + ("" if value is None else f" {value}")
    if value is None:
        return keyword
    return f"{keyword}={value}" if value.isupper() or value.replace(".", "").isdigit() else f'{keyword}="{value}"'
