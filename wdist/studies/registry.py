"""All studies by name. A new one is a module of its own and one line here."""

from difflib import get_close_matches
from importlib import import_module

from wdist.errors import UsageError
from wdist.studies.study import Group, Study

MODULES: dict[Group, dict[str, str]] = {
    "bench": {name: name for name in ("tightness", "coverage", "ladder", "gates", "speed")},
    "reproduce": {
        "table1": "table1",
        "table2": "table2",
        "table3": "table3",
        "figure4": "figure4",
        "figure5": "figure5",
        "figure6": "figure6",
        "figure10": "small_network",
        "figure11": "small_network",
        "figure12": "bjorck_convergence",
        "figure13": "bjorck_convergence",
        "figure14": "figure14",
        "figure16": "figure16",
    },
}
"""Command -> study -> its module, which has a tuple ``STUDIES``; in the order of the lists."""
_WORDS: dict[Group, str] = {"bench": "suite", "reproduce": "table or figure"}


def studies(group: Group) -> list[Study]:
    """All studies of a command."""
    return [study(group, name) for name in MODULES[group]]


def study(group: Group, name: str) -> Study:
    """The study of a name, whose module alone is imported.

    Raises:
        UsageError: no study of that command has this name.
    """
    known = MODULES[group]
    if name not in known:
        meant = get_close_matches(name.lower().replace(" ", "").replace("-", ""), known, n=1, cutoff=0.75)
        way_out = f"did you mean {meant[0]}?" if meant else f"choose one of {', '.join(known)}"
        raise UsageError(f"there is no {_WORDS[group]} {name!r}; {way_out}")
    return next(each for each in import_module(f"wdist.studies.{group}.{known[name]}").STUDIES if each.name == name)
