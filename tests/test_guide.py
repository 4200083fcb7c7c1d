"""The README and the guide quote what commands print, name what exists, and read well in a terminal."""

import io
import re
import shlex
import subprocess
import sys
from functools import cache

import pytest
from rich.console import Console

import wdist
from tests.quotations import COLUMNS, GUIDE, PAGES, README, REPOSITORY, printed, quotations, skeleton, whatever_was_chosen
from wdist.cli.guide import INDEX, for_terminal, page, rendered, summary, topics
from wdist.cli.main import main
from wdist.data.sources.address import parse_address
from wdist.training.catalogue import CATALOGUE

TEXTS = {path: path.read_text() for path in PAGES}
TOPICS = sorted(path.stem for path in GUIDE.glob("*.md") if path.stem != INDEX)
EACH_PAGE = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
EACH_TOPIC = pytest.mark.parametrize("topic", TOPICS)
QUOTATIONS = [quotation for text in TEXTS.values() for quotation in quotations(text)]
PYTHON_BLOCKS = [block for text in TEXTS.values() for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL)]
GROUPS = ("gan",)
"""Commands whose options are those of what stands behind them."""


def without_code(text):
    """A page without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def code_spans(text):
    """Text between backticks, outside blocks of code."""
    return re.findall(r"`([^`\n]+)`", without_code(text))


def commands():
    """All ``wdist`` command lines of the pages, in blocks and in running text; continued lines are joined."""
    found = {}
    for text in TEXTS.values():
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                if line.startswith("wdist "):
                    found[re.split(r"\s#", line)[0].strip()] = None
        found |= {
            " ".join(span.split()): None for span in code_spans(re.sub(r"(?<=\w)\n(?=\w)", " ", text)) if span.startswith("wdist ")
        }
    return list(found)


@cache
def options_of(*command):
    """The options that the help of a command lists."""
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", printed([*command, "--help"])))


def addresses():
    """The first column of the table of addresses."""
    table = page("addresses").partition("| Address |")[2].partition("\n\n")[0]
    for row in re.findall(r"^\| (`.*)$", table, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row.partition(" | ")[0])


def anchors(text):
    """The anchors that a code host gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", without_code(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def in_terminal(topic, width=COLUMNS):
    """A page as a terminal of that width shows it."""
    stream = io.StringIO()
    Console(file=stream, width=width, force_terminal=True, color_system=None).print(rendered(page(topic)), crop=False)
    return re.sub(r"\x1b\]8;[^\x1b]*\x1b\\", "", stream.getvalue())


def test_something_is_quoted():
    """The checks below check something."""
    assert any(quotation.exact for quotation in QUOTATIONS)
    assert any(not quotation.exact for quotation in QUOTATIONS)
    assert any(quotation.lines for quotation in quotations(TEXTS[README]))
    assert PYTHON_BLOCKS
    assert len(commands()) > 30


@pytest.mark.parametrize("quotation", [q for q in QUOTATIONS if q.exact], ids=lambda q: q.command)
def test_help_is_quoted_to_the_letter(quotation):
    assert quotation.text == quotation.rerun(), "the help has changed: run `make readme`"


@pytest.mark.slow
@pytest.mark.parametrize("quotation", [q for q in QUOTATIONS if not q.exact], ids=lambda q: q.command)
def test_results_are_quoted_up_to_their_digits(quotation, tmp_path):
    """The same words in the same order; the digits are those of another machine and, here, of fewer steps."""
    short = "--critic mean-difference" in quotation.command or re.search(r"--steps \d\d\b", quotation.command)
    shorter = [] if short else ["--steps", "360"]
    if shorter and "estimate" in quotation.command and "--" not in quotation.command:
        shorter += ["--folds", "5"]  # the default of a run without --steps
    quoted, now = quotation.text, quotation.rerun(shorter, folder=tmp_path)
    if "--critic" not in quotation.command:
        if quotation.lines is None:
            assert "tried, and chosen" in quoted
            assert "tried, and chosen" in now
        quoted, now = whatever_was_chosen(quoted), whatever_was_chosen(now)
    assert skeleton(quoted) == skeleton(now), "the output has changed: run `make readme`"


@pytest.mark.parametrize("command", commands())
def test_options_of_quoted_commands_exist(command):
    words = shlex.split(command)[1:]
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    named = [word for word in words if not word.startswith("-")]
    if not named or named[0].isupper():
        assert options <= options_of()
    else:
        assert options <= options_of(*named[: 2 if named[0] in GROUPS else 1])


@EACH_PAGE
def test_every_option_that_a_page_names_belongs_to_a_command(path):
    known = set().union(*(options_of(name) for name in _commands_of_wdist()), options_of("gan", "train"), options_of())
    named = {option for span in code_spans(TEXTS[path]) for option in re.findall(r"(?<![\w-])--[a-z][a-z-]*", span)}
    assert named <= known


def _commands_of_wdist():
    from typer.main import get_command

    from wdist.cli.main import app

    return tuple(get_command(app).commands)


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=lambda block: block.splitlines()[0])
def test_quoted_python_runs(block, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")
    exec(compile(block, "python.md", "exec"), {"__name__": "guide"})


def test_every_public_name_that_a_page_mentions_exists():
    names = {name for text in TEXTS.values() for name in re.findall(r"`wdist\.(\w+)", text)}
    assert names
    assert names <= set(wdist.__all__)


@pytest.mark.parametrize("address", list(addresses()))
def test_addresses_are_of_the_grammar(address):
    parsed = parse_address(address)
    assert parsed.text == address
    assert ("?" in address) == bool(parsed.options)


def test_every_critic_is_in_the_table_and_nothing_else():
    table = page("critics").partition("| Critic |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(CATALOGUE)


@EACH_PAGE
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)\s]+)\)", TEXTS[path]):
        if not re.match(r"[a-z]+:", target):
            file, _, anchor = target.partition("#")
            linked = (path.parent / file).resolve() if file else path
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked.read_text()), target


@EACH_PAGE
def test_pages_are_short(path):
    assert len(TEXTS[path].splitlines()) <= 200


@EACH_TOPIC
def test_a_page_starts_with_a_title_and_one_sentence(topic):
    title, sentence, _ = page(topic).split("\n\n", 2)
    assert re.fullmatch(r"# \S.*", title)
    assert re.fullmatch(r"[A-Z][^\n]{10,100}\.", sentence)


def test_the_index_lists_every_page_with_its_sentence():
    assert sorted(topics()) == TOPICS
    for topic in TOPICS:
        assert f"- [{topic}]({topic}.md): {summary(topic)}\n" in page(INDEX)


def test_the_readme_leads_to_every_page():
    for topic in (INDEX, *TOPICS):
        assert f"](wdist/guide/{topic}.md)" in TEXTS[README]


@EACH_TOPIC
def test_a_terminal_shows_neither_markup_nor_broken_links(topic):
    shown = in_terminal(topic)
    prose = "\n".join(line for line in shown.splitlines() if not line.startswith("$ "))
    for broken in ("<!--", "\\", "```", "](", "$$"):
        assert broken not in prose, broken
    assert not re.search(rf"\b({'|'.join(TOPICS)})\.md", prose)
    assert "$" not in re.sub(r"\$[A-Z_]+", "", prose)
    assert "…" not in prose


@EACH_TOPIC
@pytest.mark.parametrize("width", [45, 80])
def test_running_text_and_tables_fit_the_terminal(topic, width):
    code = {
        line for block in re.findall(r"^```.*?\n(.*?)^```$", page(topic), re.DOTALL | re.MULTILINE) for line in block.splitlines()
    }
    for line in in_terminal(topic, width).splitlines():
        assert len(line) <= width or line.strip() in {each.strip() for each in code}


def test_formulas_become_plain_text():
    assert for_terminal(r"with $W_1 \le \frac{1}{k}$ and `$HOME`") == "with W₁ ≤ (1) / k and `$HOME`"
    assert for_terminal("$$n^{-1/2}$$") == "```tex\nn^(-1/2)\n```"


def test_links_become_commands_and_paths():
    assert for_terminal("see [gates](gates.md)") == "see `wdist guide gates`"
    assert for_terminal("[The table](critics.md#names) says") == "The table (`wdist guide critics`) says"
    assert for_terminal("[a script](../../samples/gate.sh)") == "a script (`samples/gate.sh` in the repository)"
    assert for_terminal("![Cones](../../samples/x.png)") == "Figure: Cones, `samples/x.png` in the repository."
    assert for_terminal("[ICML](https://icml.cc)") == "[ICML](https://icml.cc)"


def run(capsys, *arguments):
    """Status, stdout and stderr of one command."""
    status = main(["guide", *arguments])
    return status, *capsys.readouterr()


def test_a_pipe_gets_plain_markdown(capsys):
    status, out, err = run(capsys, "gates")
    assert (status, err) == (0, "")
    assert out == page("gates")
    assert out.startswith("# Gates")
    assert "<!--" not in out


def test_without_a_topic_the_index_is_shown(capsys):
    assert run(capsys) == (0, page(INDEX), "")


def test_list_gives_one_line_for_each_topic(capsys):
    status, out, err = run(capsys, "--list")
    assert (status, err) == (0, "")
    assert [line.split(maxsplit=1)[0] for line in out.splitlines()] == list(topics())
    assert "How to rank generators" in out


def test_case_and_suffix_of_a_topic_do_not_matter(capsys):
    assert run(capsys, "Gates.md") == run(capsys, "gates")


@pytest.mark.parametrize(("topic", "hint"), [("gate", "did you mean gates?"), ("xyzzy", "`wdist guide --list` lists the topics")])
def test_an_unknown_topic_is_an_error_with_a_way_out(capsys, topic, hint):
    status, out, err = run(capsys, topic)
    assert (status, out) == (2, "")
    assert err == f"error: the guide has no page '{topic}'; {hint}\n"


def test_the_guide_imports_nothing_slow():
    program = (
        "import sys, contextlib, io\n"
        "from wdist.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert main(['guide']) == main(['guide', '--list']) == main(['guide', 'benchmarks']) == 0\n"
        "slow = {'torch', 'torchvision', 'scipy', 'matplotlib', 'h5py', 'ot', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, timeout=60)
