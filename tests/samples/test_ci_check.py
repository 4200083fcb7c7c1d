"""The script for continuous integration passes, fails or says that it cannot tell, by its exit status."""

import os
import subprocess
import sys

import pytest


@pytest.fixture
def check(repository, tmp_path):
    """Runs the script on the two sets of digits with few steps."""
    wdist = tmp_path / "wdist"
    wdist.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wdist "$@"\n')
    wdist.chmod(0o755)
    environment = os.environ | {"WDIST": str(wdist), "PYTHON": sys.executable}

    def run(*arguments):
        command = [repository / "samples" / "ci_check.sh", *arguments]
        return subprocess.run(command, cwd=repository, env=environment, capture_output=True, text=True, timeout=300)

    return run


DIGITS = ("samples/digits-low.h5", "samples/digits-high.h5")


DRAWS = ("synthetic:gaussian?dim=3&shift=1", "synthetic:gaussian?dim=3")


@pytest.mark.parametrize(
    ("sides", "maximum", "status", "word"),
    [(DIGITS, "2.3", 0, "PASS"), (DIGITS, "2.2", 1, "FAIL"), (DRAWS, "1.5", 3, "INCONCLUSIVE")],
    ids=["within", "beyond", "open"],
)
def test_verdict_follows_from_the_two_bounds(check, sides, maximum, status, word):
    """The exact distance of the two sets of digits is 2.2011, which transport proves from both sides; draws have no upper bound."""
    done = check(*sides, maximum, "--steps", "20", "--width", "64")
    assert done.returncode == status, done.stderr
    assert done.stdout.startswith(word)
    assert len(done.stdout.splitlines()) == 1


def test_bad_input_keeps_the_status_and_the_words_of_wdist(check):
    done = check("samples/absent.h5", DIGITS[1], "1")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "absent.h5" in done.stderr


def test_too_few_arguments_are_answered_with_the_usage(check):
    done = check(DIGITS[0])
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
