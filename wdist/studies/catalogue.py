"""All studies by name: the suites of ``wdist bench``, and the tables and figures of ``wdist reproduce``."""

from difflib import get_close_matches
from importlib import import_module

from wdist.errors import UsageError
from wdist.studies.study import Group, Study

MODULES: dict[Group, dict[str, str]] = {
    "bench": {
        name: name
        for name in (
            *("tightness", "learning", "transport", "soundness", "coverage"),
            *("ladder", "gates", "sequential", "drift", "lipschitz", "distributed", "streams", "speed", "gpu"),
        )
    },
    "reproduce": {
        "table1": "approximation",
        "table2": "table2",
        "table3": "bjorck",
        "table4": "classification",
        "table5": "little_data",
        "table6": "wide_resnet",
        "table7": "robustness",
        "figure4": "approximation",
        "figure5": "approximation",
        "figure6": "classifier",
        "figure7": "gradients",
        "figure8": "robustness",
        "figure9": "robustness",
        "figure10": "small_network",
        "figure11": "small_network",
        "figure12": "bjorck",
        "figure13": "bjorck",
        "figure14": "bjorck",
        "figure15": "generated",
        "figure16": "classifier",
        "figure17": "generated",
        "isometry": "isometry",
        "moons": "moons",
        "representation": "representation",
    },
}
"""Command -> study -> the module in which it is a constant; ``list`` shows the studies in this order."""


def studies(group: Group) -> list[Study]:
    """All studies of a command."""
    return [find_study(group, name) for name in MODULES[group]]


def find_study(group: Group, name: str) -> Study:
    """The study of this name, whose module alone is imported; UsageError if no study of that command has this name."""
    known = MODULES[group]
    if name not in known:
        meant = get_close_matches(name.lower().replace(" ", "").replace("-", ""), known, n=1, cutoff=0.75)
        way_out = f"did you mean {meant[0]}?" if meant else f"choose one of {', '.join(known)}"
        raise UsageError(f"there is no {'suite' if group == 'bench' else 'table or figure'} {name!r}; {way_out}")
    module = import_module(f"wdist.studies.{group}.{known[name]}")
    return next(each for each in vars(module).values() if isinstance(each, Study) and each.name == name)
