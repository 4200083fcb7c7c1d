"""Calls in Python: progress where somebody watches, sides with names, and observers of either kind."""

import inspect
import io
import pickle
import sys
import types
import typing

import pytest
import torch

import wdist
from tests.trials import Listener
from wdist.estimation.options import EstimateArguments, EstimateOptions
from wdist.report.terminal.progress import NotebookDisplay
from wdist.training.observer import CriticFinished, Stage

X = torch.randn(60, 2, generator=torch.Generator().manual_seed(0))
FAST = {"steps": 2, "critic": "groupsort-bjorck", "baselines": "none", "width": 8}


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("function", [wdist.estimate, wdist.compare], ids=lambda each: each.__name__)
def test_signatures_list_every_option_with_its_default(function):
    """For ``help()`` and completion in notebooks; a default that is passed explicitly is accepted and changes nothing."""
    parameters = inspect.signature(function).parameters
    assert set(EstimateArguments.__annotations__) < set(parameters)
    assert all(each.kind is not inspect.Parameter.VAR_KEYWORD for each in parameters.values())
    defaults = {name: parameters[name].default for name in EstimateArguments.__annotations__}
    assert EstimateOptions.validated(**defaults) == EstimateOptions.validated()


@pytest.mark.parametrize("name", [name for name in wdist.__all__ if name.islower() and name != "__version__"])
def test_functions_have_types_that_can_be_looked_up_and_can_be_sent_to_other_processes(name):
    """As checkers of types at run time, and pools of processes, do it."""
    import wdist.transport  # a package of the same name as a function

    function = getattr(wdist, name)
    assert callable(pickle.loads(pickle.dumps(function)))
    hints = typing.get_type_hints(getattr(wdist.python.functions, name))
    assert inspect.isclass(hints["return"]) or name in ("merge", "open_source", "save_proof")


def test_completion_offers_the_public_names_only():
    assert {name for name in dir(wdist) if not name.startswith("__")} == set(wdist.__all__) - {"__version__"}


def test_a_script_stays_silent_and_progress_true_speaks_on_stderr(capsys):
    wdist.estimate(X, X + 1, **FAST)
    silent = capsys.readouterr()
    assert silent.out == silent.err == ""
    wdist.estimate(X, X + 1, **FAST, progress=True)
    told = capsys.readouterr()
    assert told.out == ""
    assert "transport between 60 and 60 samples" in told.err


@pytest.mark.parametrize(("progress", "drawn"), [(None, True), (False, False)])
def test_a_terminal_shows_progress_by_default(monkeypatch, progress, drawn):
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    wdist.estimate(X, X + 1, **FAST, progress=progress)
    assert bool(sys.stderr.getvalue()) is drawn


class Handle:
    """A display handle of IPython."""

    def __init__(self, first):
        self.first, self.updates = first, []

    def update(self, shown, raw=False):
        self.updates.append(shown if raw else shown._repr_html_())


@pytest.fixture
def notebook(monkeypatch):
    """IPython as a kernel offers it; returns the handles that cells made."""
    handles = []

    def display(shown, display_id):
        assert display_id
        handles.append(Handle(shown))
        return handles[-1]

    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    ipython.display = types.ModuleType("IPython.display")
    ipython.display.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", ipython.display)
    return handles


def test_a_notebook_shows_progress_below_its_cell_and_clears_it(notebook, capsys):
    wdist.estimate(X, X + 1, **FAST)
    (handle,) = notebook
    assert isinstance(handle.first, NotebookDisplay)
    assert "reading and checking the samples" in handle.updates[0]
    assert handle.updates[-1]["text/html"] == ""
    assert "<script" not in "".join(map(str, handle.updates))
    assert capsys.readouterr().err == ""


def test_progress_false_keeps_a_notebook_clean(notebook):
    wdist.estimate(X, X + 1, **FAST, progress=False)
    assert notebook == []


def test_an_observer_is_a_function_or_has_notify(capsys):
    events, observer = [], Listener()
    wdist.estimate(X, X + 1, **FAST, observer=events.append)
    wdist.estimate(X, X + 1, **FAST, observer=observer, progress=True)
    for told in (events, observer.events):
        assert isinstance(told[0], Stage)
        assert any(isinstance(event, CriticFinished) for event in told)
    assert capsys.readouterr().err


def test_transport_shows_its_bounds():
    told = []
    wdist.transport(X, X + 1, bounded=lambda lower, upper: told.append((lower, upper)))
    assert all(lower <= upper for lower, upper in told)


def test_sides_are_called_a_and_b_and_sources_by_their_numbers():
    found = wdist.estimate(X.numpy(), X + 1, steps=1, critic="mean-difference")
    assert [found.a.address, found.b.address] == ["<array A>", "<tensor B>"]
    ranked = wdist.compare(X, [X + 1, X + 2], critic="mean-difference")
    assert ranked.reference.address == "<tensor reference>"
    assert [entry.name for entry in ranked.ranking] == ["tensor 1", "tensor 2"]
    assert "A:" in found.warnings[0] or "of A" in found.warnings[0]


def test_warnings_speak_python(monkeypatch):
    found = wdist.estimate(X, X + 1, steps=1, critic="mean-difference")
    assert found.warnings
    assert not any("--" in warning for warning in found.warnings)


@pytest.mark.parametrize("told", ["DefaultCPUAllocator: can't allocate memory: you tried 9 bytes", "can't start new thread"])
def test_lack_of_memory_is_a_sentence(monkeypatch, told):
    def hungry(*_, **__):
        raise RuntimeError(told)

    monkeypatch.setattr("wdist.estimation.estimate.run_estimate", hungry)
    with pytest.raises(wdist.WdistError, match="not enough memory"):
        wdist.estimate(X, X + 1)


def test_our_own_mistakes_are_not_hidden(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("wdist.estimation.estimate.run_estimate", broken)
    with pytest.raises(ZeroDivisionError):
        wdist.estimate(X, X + 1)


def test_sources_that_are_open_stay_open_and_are_not_renamed(samples):
    with_name = wdist.open_source(f"{samples / 'digits-low.h5'}?limit=50")
    found = wdist.estimate(with_name, f"{samples / 'digits-high.h5'}?limit=50", steps=1, critic="mean-difference")
    assert found.a.address.endswith("digits-low.h5?limit=50")
