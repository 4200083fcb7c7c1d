"""Names in Markdown: a reader sees them as they are."""

import html
import re
import string

import pytest
from markdown_it import MarkdownIt

from wdist.report.documents.markdown import code, escaped, row

NAMES = [f"a {sign}b{sign} c" for sign in string.punctuation]
NAMES += ["[x](y)", "~~gone~~", "$price$", "a|b", "&amp;", "![x](y)", "<b>", "__init__", "``", "https://x.y|z"]


def seen(markdown):
    """The words that a renderer of tables, struck-out text and HTML shows, without its own tags."""
    rendered = MarkdownIt("gfm-like", {"html": True, "linkify": False}).render(markdown)
    return " ".join(html.unescape(re.sub(r"</?(p|table|thead|tbody|tr|th|td|code)\b[^>]*>", " ", rendered)).split())


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_shown_as_it_is_in_text_and_in_a_cell(name):
    assert seen(f"see {escaped(name)}") == f"see {name}"
    assert seen("\n".join([row(("x", "y")), row(("--", "--")), row((escaped(name), "1"))])) == f"x y {name} 1"


@pytest.mark.parametrize("sign", "$|[]*_~<&`\\")
def test_signs_that_some_renderers_read_are_escaped(sign):
    """Formulas between dollar signs, for example, on GitHub."""
    assert escaped(f"a{sign}") == f"a\\{sign}"


@pytest.mark.parametrize("name", [name for name in NAMES if "`" not in name])
def test_an_address_is_shown_as_it_is_in_code(name):
    assert seen(f"see {code(name)}") == f"see {name}"
    assert seen("\n".join([row(("x", "y")), row(("--", "--")), row((code(name, cell=True), "1"))])) == f"x y {name} 1"


def test_code_has_no_backticks_and_no_line_ends():
    assert code("a`b\n\x1bc") == "`a'b c`"
