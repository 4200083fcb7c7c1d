"""All studies by name. A new one is a module of its own and one line here."""

from difflib import get_close_matches
from functools import cache
from importlib import import_module

from wdist.errors import UsageError
from wdist.studies.study import Group, Study

MODULES = (
    "bench.tightness",
    "bench.coverage",
    "bench.ladder",
    "bench.gates",
    "bench.speed",
    "reproduce.table1",
    "reproduce.table2",
    "reproduce.table3",
    "reproduce.figure4",
    "reproduce.figure5",
    "reproduce.figure6",
    "reproduce.small_network",
    "reproduce.bjorck_convergence",
    "reproduce.figure14",
    "reproduce.figure16",
)
"""Below :mod:`wdist.studies`, in the order of the lists; each has a tuple ``STUDIES``."""
_WORDS: dict[Group, str] = {"bench": "suite", "reproduce": "table or figure"}


@cache
def studies(group: Group) -> dict[str, Study]:
    """All studies of a command, by name."""
    modules = [import_module(f"wdist.studies.{name}") for name in MODULES if name.startswith(f"{group}.")]
    return {study.name: study for module in modules for study in module.STUDIES}


def study(group: Group, name: str) -> Study:
    """The study of a name.

    Raises:
        UsageError: no study of that command has this name.
    """
    known = studies(group)
    if name in known:
        return known[name]
    meant = get_close_matches(name.lower().replace(" ", "").replace("-", ""), known, n=1, cutoff=0.75)
    way_out = f"did you mean {meant[0]}?" if meant else f"choose one of {', '.join(known)}"
    raise UsageError(f"there is no {_WORDS[group]} {name!r}; {way_out}")
