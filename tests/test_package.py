"""The package alone, without the repository around it: what a wheel installs is enough."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest


@pytest.fixture(scope="module")
def installed(tmp_path_factory, repository):
    """A folder with nothing but the package, as a wheel unpacks it, and an empty one to work in."""
    site, work = tmp_path_factory.mktemp("site"), tmp_path_factory.mktemp("work")
    shutil.copytree(repository / "wdist", site / "wdist", ignore=shutil.ignore_patterns("__pycache__"))
    rows = np.random.default_rng(0).normal(size=(60, 3))
    np.save(work / "a.npy", rows)
    np.save(work / "b.npy", rows[::-1] + 1)

    def run(*arguments, **variables):
        environment = {**os.environ, "PYTHONPATH": str(site), "COLUMNS": "80", **variables}
        command = [sys.executable, "-m", "wdist", *arguments]
        return subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)

    return run


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["estimate", "a.npy", "b.npy", "--critic", "mean-difference", "--baselines", "none"], "A and B differ"),
        (["guide", "python"], "How to use wdist from Python."),
        (["schema"], '"title": "EstimateDocument"'),
        (["bench"], "tightness"),
        (["synthetic", "--cones", "2", "--critic", "radial", "--baselines", "none", "--draws", "200"], "truth"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_commands_work_without_the_repository(installed, arguments, words):
    done = installed(*arguments)
    assert done.returncode == 0, done.stderr
    assert words in done.stdout


def test_the_package_is_marked_as_typed(repository):
    assert (repository / "wdist" / "py.typed").is_file()


@pytest.mark.parametrize(("typed", "completed"), [("wdist est", "estimate"), ("wdist estimate --bud", "--budget")])
def test_the_shell_completes_commands_and_options(installed, typed, completed):
    words = {"_WDIST_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    assert installed(**words).stdout.split() == [completed]
