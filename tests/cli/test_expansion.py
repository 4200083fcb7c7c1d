"""Dataclasses as groups of options."""

from dataclasses import dataclass
from inspect import Parameter
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from wdist.cli.options import expanded


@dataclass(frozen=True, kw_only=True)
class Size:
    """Two options."""

    height: Annotated[int, typer.Option(min=1, help="Upwards.")] = 3
    width: Annotated[int | None, typer.Option(help="Sideways.")] = None

    def __post_init__(self):
        if self.width == 13:
            raise ValueError("unlucky")


@pytest.fixture
def run():
    """Runs a command that takes a group, and tells what it was called with."""
    seen = []

    @expanded
    def command(name: Annotated[str, typer.Argument()], size: Size, loud: bool = False) -> int:
        """Say something."""
        seen.append((name, size, loud))
        return 0

    app = typer.Typer(add_completion=False)
    app.command()(command)

    def invoke(*words):
        seen.clear()
        result = CliRunner().invoke(app, words)
        return result, tuple(seen)

    return invoke


def test_fields_are_options_and_arrive_together(run):
    assert run("a", "--width", "7", "--loud")[1] == (("a", Size(height=3, width=7), True),)
    assert run("a")[1] == (("a", Size(), False),)


def test_what_typer_checks_of_a_field_is_checked(run):
    result, seen = run("a", "--height", "0")
    assert (result.exit_code, seen) == (2, ())


def test_what_the_group_refuses_never_reaches_the_command(run):
    result, seen = run("a", "--width", "13")
    assert isinstance(result.exception, ValueError)
    assert seen == ()


class Halves:
    """A group that is not a dataclass: one option, and the object that it makes."""

    def parameters(self):
        option = Annotated[int, typer.Option(help="Twice the object.")]
        return [Parameter("twice", Parameter.KEYWORD_ONLY, default=8, annotation=option)]

    def made(self, *, twice):
        return twice / 2


def test_a_group_may_make_its_object_in_its_own_way():
    seen = []

    @expanded
    def command(half: Annotated[float, Halves()]) -> int:
        """Say something."""
        seen.append(half)
        return 0

    app = typer.Typer(add_completion=False)
    app.command()(command)
    for words in ([], ["--twice", "5"]):
        CliRunner().invoke(app, words)
    assert seen == [4.0, 2.5]


def test_help_shows_fields_and_not_the_group(run):
    text = run("--help")[0].output
    assert "Upwards." in text
    assert "Sideways." in text
    assert "--size" not in text
