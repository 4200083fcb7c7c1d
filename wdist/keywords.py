"""How messages name options: ``--drop-nonfinite`` while a command runs, ``drop_nonfinite=True`` in Python.

Options of addresses, such as ``?without=id``, stay as they are but for samples that were passed as values, which have none.
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
"""Options whose keyword is not their name with underscores."""
_WORDS = "samples|population|detected|block|reference|cpu|l1|l2|linf|welch|drop|level|std|[A-Z]+"
"""Values that messages show behind an option, besides numbers; capitals stand for one."""
_OPTION = re.compile(rf"(?<![\w-])--([a-z][a-z-]*[a-z])(?: (\d[\w./]*|{_WORDS})(?!\w))?")
_VALUES = re.compile(r"<(tensor|array|frame|dataset)( \w+)?>")
"""Names of samples that were passed as values."""
_OF_VALUES = (
    (re.compile(r" with \?without=.*?(?=, or |;|$)"), ""),
    (re.compile(r"by position with \?names=no"), "by position as arrays"),
    (re.compile(r" with \?columns="), ""),
)
"""Options of addresses in messages, and what stands for them where samples were passed as values."""
_command_runs = False


@contextmanager
def command_line() -> Iterator[None]:
    """Lets errors name options as the command line does, for as long as a command runs."""
    global _command_runs
    before, _command_runs = _command_runs, True
    try:
        yield
    finally:
        _command_runs = before


def for_caller(text: str) -> str:
    """A message, written with options, in the words of the caller: unchanged for a command, with keywords in Python."""
    return text if _command_runs else in_python(text)


def in_python(text: str, *, of_values: bool = False) -> str:
    """The text with keyword arguments in the place of options, and ``name=value`` where an option has a value.

    Arguments:
        text: a message.
        of_values: whether it is about samples that were passed as values; by default, where it says so.
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
