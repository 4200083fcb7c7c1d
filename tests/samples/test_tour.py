"""The notebook runs from top to bottom, shows what it was saved with, and needs nothing of Jupyter."""

import pytest

from tests.notebooks import NOTEBOOKS, executed, read


def shape_of(notebook):
    """The kinds of outputs of each cell."""
    return [[(each["output_type"], sorted(each.get("data", ()))) for each in cell.get("outputs", ())] for cell in notebook["cells"]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_the_notebook_runs_and_shows_what_it_was_saved_with(path):
    saved = read(path)
    assert (saved["nbformat"], saved["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in saved["cells"]}) == len(saved["cells"])
    assert any("image/png" in data for outputs in shape_of(saved) for _, data in outputs)
    assert shape_of(executed(saved, path.parent)) == shape_of(saved)


def test_there_is_a_notebook():
    assert [path.name for path in NOTEBOOKS] == ["tour.ipynb"]
