"""The command line, run in this process: what a user types, and what comes back on stdout, on stderr and as exit status."""

from dataclasses import dataclass
from types import SimpleNamespace

import pytest

from tests.estimates import made_estimate
from wdist.cli.main import main


@dataclass(frozen=True)
class Answer:
    """Exit status and output of a command."""

    status: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one sentence of an error; fails the test when there is more or less than that."""
        errors = [line for line in self.err.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1, self.err
        assert "Traceback" not in self.err
        return errors[0].removeprefix("error: ")


@pytest.fixture
def wdist(capsys, monkeypatch, tmp_path):
    """Runs one command in an empty directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)

    def run(*arguments):
        capsys.readouterr()
        status = main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Answer(status, out, err)

    return run


@pytest.fixture
def calls(monkeypatch):
    """Puts a result made by hand in place of every estimation; collects how it was asked for.

    ``calls.result`` may be set to another result, or to an exception that is raised instead.
    """
    recorded = SimpleNamespace(asked=[], result=made_estimate())

    def run_estimate(a, b, options, **more):
        recorded.asked.append(SimpleNamespace(a=a, b=b, options=options, truth=more.get("truth"), command=more.get("command")))
        if isinstance(recorded.result, BaseException):
            raise recorded.result
        return recorded.result

    monkeypatch.setattr("wdist.estimation.estimate.run_estimate", run_estimate)
    monkeypatch.setattr("wdist.cli.outputs.check_named", lambda address: None)
    return recorded
