"""Every table and figure can be asked for, with its citation and its times."""

import pytest

from wdist.errors import UsageError
from wdist.studies.reproduce.registry import EXPERIMENTS, experiment

NAMES = (
    "table1",
    "table2",
    "table3",
    "figure4",
    "figure5",
    "figure6",
    "figure10",
    "figure11",
    "figure12",
    "figure13",
    "figure14",
    "figure16",
)


def test_all_tables_and_figures_are_there():
    assert tuple(EXPERIMENTS) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_each_cites_its_place_in_the_paper_and_takes_no_longer_in_its_quick_form(name):
    chosen = EXPERIMENTS[name]
    assert chosen.name == name
    assert name.replace("figure", "figure ").replace("table", "table ") in chosen.source
    assert 0 < chosen.operations(True) <= chosen.operations(False)
    assert bool(chosen.reduced) == (chosen.operations(True) < chosen.operations(False))
    assert chosen.forecast(quick=True, device="cpu") > 0


@pytest.mark.parametrize(
    ("name", "words"), [("figure7", "choose one of|did you mean"), ("Table 1", "did you mean table1"), ("x", "choose one of")]
)
def test_an_unknown_name_is_refused_with_the_way_out(name, words):
    with pytest.raises(UsageError, match=words):
        experiment(name)
