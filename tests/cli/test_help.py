"""Help is there for everything, at once, and fits a narrow terminal."""

import subprocess
import sys

import pytest
from typer.main import get_command

from wdist.cli.main import app

COMMANDS = sorted(get_command(app).commands)
PARAMETERS = [
    pytest.param(parameter, id=f"{name} {parameter.opts[0]}")
    for name in COMMANDS
    for parameter in get_command(app).commands[name].params
]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_fits_80_columns(wdist, name):
    answer = wdist(name, "--help")
    assert answer.status == 0
    assert answer.err == ""
    assert get_command(app).commands[name].help
    assert max(len(line) for line in answer.out.splitlines()) <= 80


@pytest.mark.parametrize("parameter", PARAMETERS)
def test_every_option_and_argument_has_help_that_is_a_sentence(parameter):
    assert parameter.help
    assert (
        parameter.help[0].isupper() or parameter.help[0].isdigit() or not parameter.help[0].isalpha() or parameter.opts[0] == "--ci"
    )
    assert parameter.help.rstrip().endswith((".", "..."))


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("doctor", "gan")])
def test_commands_show_an_example(wdist, name):
    assert f"Example: wdist {name} " in wdist(name, "--help").out


def test_the_commands_are_listed(wdist):
    answer = wdist("--help")
    assert answer.status == 0
    for name in COMMANDS:
        assert name in answer.out


def test_the_version_is_printed(wdist):
    import wdist as package

    answer = wdist("--version")
    assert (answer.status, answer.out, answer.err) == (0, f"wdist {package.__version__}\n", "")


@pytest.mark.parametrize("words", [(), ("gan",)], ids=["wdist", "wdist gan"])
def test_without_a_command_the_help_is_shown_and_the_status_is_2(wdist, words):
    answer = wdist(*words)
    assert answer.status == 2
    assert "Usage: wdist" in answer.out + answer.err
    assert "error:" not in answer.err


def test_help_mistakes_and_the_package_import_neither_torch_nor_anything_else_that_is_slow():
    program = (
        "import sys, contextlib, io, wdist\n"
        "from wdist.cli.main import main\n"
        "with contextlib.redirect_stdout(io.StringIO()):\n"
        "    assert main(['--help']) == 0\n"
        "    assert main(['estimate', '--help']) == 0\n"
        "    assert main(['estimate', 'a', 'b', '--budget', 'soon']) == 2\n"
        "    assert main(['estimate', sys.executable, 'nowhere.h5']) == 2\n"
        "    assert main(['compare', sys.executable, sys.executable, 'nowhere.h5']) == 2\n"
        "    assert main(['drift', 'nowhere.csv', sys.executable]) == 2\n"
        "    assert main(['inspect', 'nowhere/']) == 2\n"
        "    assert main(['gan', 'train', '--data', 'nowhere/', '-o', 'run']) == 2\n"
        "    assert main(['schema']) == 0\n"
        "slow = {'torch', 'torchvision', 'scipy', 'matplotlib', 'h5py', 'ot', 'numpy', 'PIL'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", program], check=True, stderr=subprocess.DEVNULL, timeout=60)


def test_an_estimate_imports_slow_libraries_only_where_it_uses_them():
    program = (
        "import sys, wdist.estimation.estimate\n"
        "slow = {'scipy', 'torchvision', 'matplotlib', 'ot', 'pandas', 'pyarrow'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_the_public_names_are_those_of_their_modules():
    import wdist as package
    from wdist.errors import WdistError
    from wdist.estimation.result import Estimate
    from wdist.training.budget import Budget

    assert package.Estimate is Estimate
    assert package.Budget is Budget
    assert package.WdistError is WdistError
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'estimat'"):
        _ = package.estimat


def test_every_public_name_can_be_imported():
    import wdist as package

    for name in set(package.__all__):
        assert getattr(package, name) is not None
