"""The committed documents of the paper's tables and figures, and the page of the guide that is made from them."""

import json

import pytest

from tests.reproductions import DOCUMENTS, PAGE, documents, page
from wdist.studies.catalogue import MODULES


def test_the_page_says_what_the_documents_say():
    assert PAGE.read_text() == page(), "make readme"


@pytest.mark.parametrize("name", MODULES["reproduce"])
def test_every_table_and_figure_has_a_complete_document_and_a_figure(name):
    document = json.loads((DOCUMENTS / f"{name}.json").read_text())
    assert (document["what"], document["interrupted"]) == (name, False)
    assert document["commit"]
    assert not document["commit"].endswith("+"), "from a clean commit"
    assert document["findings"]
    assert (DOCUMENTS / f"{name}.png").stat().st_size > 5_000


def test_numbers_of_the_paper_are_beside_ours():
    shown = page()
    for document in documents():
        stated = [row for row in document["comparisons"] if row["paper"] is not None]
        assert (f"**{document['title']}**" in shown) == bool(stated)
