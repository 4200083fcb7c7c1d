"""The script and the workflow for continuous integration: every line that can run is run."""

import json
import os
import re
import subprocess
import sys
import textwrap

import pytest

FEW = "?limit=150"
LOW, HIGH, ALL = (f"samples/digits{which}.h5{FEW}" for which in ("-low", "-high", ""))
CERTAIN = ("--on", "samples")


@pytest.fixture
def environment(tmp_path):
    """With a ``wdist`` on the path, and the files of a job."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "wdist").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m wdist "$@"\n')
    (folder / "wdist").chmod(0o755)
    return os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
    }


@pytest.fixture
def gate(repository, environment):
    """Runs the script."""

    def run(*arguments, **variables):
        command = [repository / "samples" / "gate.sh", *map(str, arguments)]
        return subprocess.run(command, cwd=repository, env=environment | variables, capture_output=True, text=True, timeout=300)

    return run


def test_a_candidate_that_passes_becomes_the_baseline_of_the_next(gate, tmp_path):
    """All digits are nearer to those from 0 to 4 than those from 5 to 9 are, which are within the limit, but no more within 5 %."""
    accepted = tmp_path / "accepted.json"
    first = gate(LOW, ALL, "3", accepted, *CERTAIN)
    assert first.returncode == 0, first.stderr
    assert first.stdout.startswith("PASS")
    document = json.loads(accepted.read_text())
    assert document["verdict"] == "pass"
    worse = gate(LOW, HIGH, "3", accepted, *CERTAIN, GITHUB_ACTIONS="true")
    assert worse.returncode == 1, worse.stderr
    assert worse.stdout.splitlines()[0].startswith("::notice title=wdist gate%3A pass::")
    assert worse.stdout.splitlines()[1].startswith("::error title=wdist gate%3A fail::")
    assert (tmp_path / "summary.md").read_text().startswith("### wdist gate: fail")
    assert json.loads(accepted.read_text()) == document, "what failed is not accepted"
    assert [path.name for path in tmp_path.glob("accepted*")] == ["accepted.json"]


def test_bad_input_keeps_the_status_and_the_words_of_wdist(gate, tmp_path):
    done = gate("samples/absent.h5", HIGH, "1", tmp_path / "accepted.json")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "absent.h5" in done.stderr
    assert not list(tmp_path.glob("accepted*"))


def test_too_few_arguments_are_answered_with_the_usage(gate):
    done = gate(LOW, HIGH, "1")
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")


def run_lines(workflow):
    """Commands behind ``run:``, in order."""
    for match in re.finditer(r"^( *)run: (?:\|\n((?:\1 +.*\n|\n)+)|(.*)\n)", workflow, re.MULTILINE):
        yield textwrap.dedent(match[2]) if match[2] else match[3]


def test_the_workflow_runs(repository, environment, tmp_path):
    workflow = (repository / "samples" / "wdist-gate.yml").read_text()
    install, gate, tell = run_lines(workflow)
    assert workflow.count("run:") == 3
    assert install == "pip install ."

    def run(script):
        # As GitHub runs it.
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        (tmp_path / "samples").exists() or (tmp_path / "samples").symlink_to(repository / "samples")
        with_package = environment | {"PYTHONPATH": str(repository)}
        return subprocess.run(command, cwd=tmp_path, env=with_package, capture_output=True, text=True, timeout=300)

    done = run(gate)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("::notice title=wdist gate%3A pass::")
    assert json.loads((tmp_path / "gate.json").read_text())["verdict"] == "pass"
    assert 'failures="0"' in (tmp_path / "gate.xml").read_text()
    outputs = dict(line.split("=", 1) for line in (tmp_path / "output").read_text().splitlines())
    told = run(re.sub(r"\${{ steps\.gate\.outputs\.(\w+) }}", lambda match: outputs[match[1]], tell)).stdout
    assert re.fullmatch(r"pass, W1 is between 2\.2\d+ and 2\.2\d+\n", told)


def test_the_workflow_that_ranks_gates_the_best_and_says_so_first(repository, environment, tmp_path):
    workflow = (repository / "samples" / "wdist-rank.yml").read_text()
    install, rank = run_lines(workflow)
    assert workflow.count("run:") == 2
    assert install == "pip install ."
    options = re.search(r"RANK: (.*)\n", workflow)[1]
    (tmp_path / "samples").symlink_to(repository / "samples")
    more = {"PYTHONPATH": str(repository), "RANK": options, "GITHUB_ACTIONS": "true"}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", rank]
    done = subprocess.run(command, cwd=tmp_path, env=environment | more, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    ranking = json.loads((tmp_path / "ranking.json").read_text())
    assert [entry["name"] for entry in ranking["ranking"]] == ["digits.h5", "digits-high.h5"]
    assert ranking["orders"]["detected"]["claims"][0]["nearer"] == "digits.h5"
    gate = json.loads((tmp_path / "gate.json").read_text())
    assert gate["on"] == "block"
    assert gate["population"]["confidence"] == 0.975, "the best of two, chosen on the same samples"
    summary = (tmp_path / "summary.md").read_text()
    first, order, *_ = (line for line in summary.splitlines() if line)
    assert first == "## Nearest by estimate: samples/digits.h5"
    assert order.startswith("**")
    assert "digits.h5 \\< digits-high.h5" in order
    assert summary.index("| 1 | digits.h5") < summary.index("<details>") < summary.index("### wdist gate: pass")


def test_ranking_takes_a_checkpoint(repository, environment):
    command = [repository / "samples" / "rank.sh", LOW, "1", "--", "--on", "block"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr.startswith("usage:")
