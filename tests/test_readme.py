"""What the README quotes is what the commands print, and what it names is there."""

import re
import shlex

import pytest

from tests.readme import README, REPOSITORY, printed, quotations, skeleton, whatever_was_chosen
from wdist.critics.catalogue import RECIPES
from wdist.data.sources.address import parse_address

TEXT = README.read_text()
QUOTATIONS = list(quotations(TEXT))
PYTHON_BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
CONSOLE_BLOCKS = re.findall(r"```console\n(.*?)```", TEXT, re.DOTALL)


def commands():
    """The ``wdist`` command lines of the README, continued lines joined."""
    for block in CONSOLE_BLOCKS:
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("wdist "):
                yield line.partition(" #")[0].strip()


def addresses():
    """The first column of the table of addresses."""
    table = TEXT.partition("## Addresses")[2].partition("| Option")[0]
    for row in re.findall(r"^\| (`.*)$", table, re.MULTILINE):
        yield from re.findall(r"`([^`]+)`", row.partition(" | ")[0])


def test_something_is_quoted():
    """The checks below check something."""
    assert any(quotation.exact for quotation in QUOTATIONS)
    assert any(not quotation.exact for quotation in QUOTATIONS)
    assert PYTHON_BLOCKS


@pytest.mark.parametrize("quotation", [q for q in QUOTATIONS if q.exact], ids=lambda q: q.command)
def test_help_is_quoted_to_the_letter(quotation):
    assert quotation.text == quotation.rerun(), "the help has changed: run `make readme`"


@pytest.mark.slow
@pytest.mark.parametrize("quotation", [q for q in QUOTATIONS if not q.exact], ids=lambda q: q.command)
def test_results_are_quoted_up_to_their_digits(quotation, tmp_path):
    """The same words in the same order; the digits are those of another machine and, here, of fewer steps."""
    quoted, now = quotation.text, quotation.rerun(["--steps", "40"], folder=tmp_path)
    if "--critic" not in quotation.command:
        assert "tried, and chosen" in quoted
        assert "tried, and chosen" in now
        quoted, now = whatever_was_chosen(quoted), whatever_was_chosen(now)
    assert skeleton(quoted) == skeleton(now), "the output has changed: run `make readme`"


GROUPS = ("gan",)
"""Commands whose options are those of what stands behind them."""


@pytest.mark.parametrize("command", list(commands()))
def test_options_of_quoted_commands_exist(command):
    words = shlex.split(command)[1:]
    options = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
    if options:
        command = words[:2] if words[0] in GROUPS else words[:1]
        explained = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", printed([*command, "--help"])))
        assert options <= explained


@pytest.mark.parametrize("block", PYTHON_BLOCKS, ids=lambda block: block.splitlines()[0])
def test_python_of_the_readme_runs(block, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "samples").symlink_to(REPOSITORY / "samples")
    exec(compile(block, "README.md", "exec"), {"__name__": "readme"})


@pytest.mark.parametrize("address", list(addresses()))
def test_addresses_are_of_the_grammar(address):
    parsed = parse_address(address)
    assert parsed.text == address
    assert ("?" in address) == bool(parsed.options)


def test_every_critic_is_in_the_table_and_nothing_else():
    table = TEXT.partition("| Critic |")[2].partition("\n\n")[0]
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`([^`]+)`", row.split("|")[1])]
    assert sorted(named) == sorted(RECIPES)


def test_linked_files_exist():
    for target in re.findall(r"\]\(([^)#\s]+)\)", TEXT):
        if not re.match(r"[a-z]+:", target):
            assert (REPOSITORY / target).exists(), target
