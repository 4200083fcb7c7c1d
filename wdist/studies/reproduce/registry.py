"""All tables and figures by name. A new one is a file of its own and one line here."""

from difflib import get_close_matches

from wdist.errors import UsageError
from wdist.studies.reproduce import (
    figure4,
    figure5,
    figure6,
    figure10,
    figure11,
    figure12,
    figure13,
    figure14,
    figure16,
    table1,
    table2,
    table3,
)
from wdist.studies.reproduce.experiment import Experiment

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        table1.EXPERIMENT,
        table2.EXPERIMENT,
        table3.EXPERIMENT,
        figure4.EXPERIMENT,
        figure5.EXPERIMENT,
        figure6.EXPERIMENT,
        figure10.EXPERIMENT,
        figure11.EXPERIMENT,
        figure12.EXPERIMENT,
        figure13.EXPERIMENT,
        figure14.EXPERIMENT,
        figure16.EXPERIMENT,
    )
}


def experiment(name: str) -> Experiment:
    """The table or figure of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name in EXPERIMENTS:
        return EXPERIMENTS[name]
    meant = get_close_matches(name.lower().replace(" ", "").replace("-", ""), EXPERIMENTS, n=1, cutoff=0.75)
    way_out = f"did you mean {meant[0]}?" if meant else f"choose one of {', '.join(EXPERIMENTS)}"
    raise UsageError(f"there is no table or figure {name!r} to reproduce; {way_out}")
