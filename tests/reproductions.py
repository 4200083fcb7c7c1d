"""The guide's page of the paper's tables and figures, made from the committed documents (``make readme``)."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from tests.quotations import GUIDE, REPOSITORY
from wdist.studies.catalogue import MODULES

DOCUMENTS = REPOSITORY / "samples" / "results" / "reproduce"
PAGE = GUIDE / "paper.md"
START, END = "<!-- made from samples/results/reproduce -->\n", "<!-- end -->\n"


def documents() -> list[dict[str, Any]]:
    """All committed documents, in the order of ``wdist reproduce list``."""
    paths = [DOCUMENTS / f"{name}.json" for name in MODULES["reproduce"]]
    return [json.loads(path.read_text()) for path in paths if path.exists()]


def page() -> str:
    """The page as it should be: which claims hold, then all numbers that the paper states, beside ours."""
    found = documents()
    before, _, rest = PAGE.read_text().partition(START)
    lines = [*_overview(found), "", *(line for document in found for line in _numbers(document))]
    return f"{before}{START}\n" + "\n".join(lines) + f"\n{END}{rest.partition(END)[2]}"


def _overview(found: list[dict[str, Any]]) -> Iterator[str]:
    yield "| | Form | Claims that hold | Claims that do not hold here |"
    yield "|---|---|---|---|"
    for document in found:
        claims = document["findings"]
        misses = "; ".join(f"{each['claim'].rstrip('.')} ({each['detail']})" for each in claims if not each["holds"])
        form = "quick" if document["quick"] else "full"
        kept = sum(each["holds"] for each in claims)
        yield f"| `{document['what']}`: {document['title']} | {form} | {kept} of {len(claims)} | {misses.replace('|', '/')} |"


def _numbers(document: dict[str, Any]) -> Iterator[str]:
    """A table whose cells are ours and, in parentheses, the paper's; nothing where the paper states no number."""
    rows = [row for row in document["comparisons"] if row["paper"] is not None]
    if not rows:
        return
    cells = {(row["row"], row["column"]): f"{_short(row['ours'])} ({_paper(row['paper'])})" for row in rows}
    names, columns = (list(dict.fromkeys(row[key] for row in rows)) for key in ("row", "column"))
    smaller = f" Quick form: {'; '.join(document['reduced'])}." if document["quick"] else ""
    yield f"**{document['title']}** ({document['source']}).{smaller}"
    yield ""
    yield "| ours (paper) | " + " | ".join(column or "value" for column in columns) + " |"
    yield "|---|" + "---|" * len(columns)
    for name in names:
        yield f"| {name} | " + " | ".join(cells.get((name, column), "") for column in columns) + " |"
    yield ""


def _short(value: float) -> str:
    return f"{value:.3g}"


def _paper(value: float | list[float]) -> str:
    return f"{_short(value[0])} to {_short(value[1])}" if isinstance(value, list) else _short(value)


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stderr.write(f"{PAGE.name}: {len(documents())} documents\n")
