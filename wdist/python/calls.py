"""Progress, checkpoints, names of inputs and messages about keyword arguments, shared by all functions of ``import wdist``."""

from __future__ import annotations

import inspect
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeAlias, TypeVar

from wdist.arguments import accepted, shown, unknown_keyword
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.data.sources.source import EndlessSource, FiniteSource
from wdist.errors import UsageError, WdistError, out_of_memory
from wdist.estimation.options import EstimateArguments, EstimateOptions
from wdist.keywords import in_python
from wdist.training.observer import Event, Observer, Silent

Listener: TypeAlias = Observer | Callable[[Event], object]
"""An object with ``notify(event)``, or a function of an event."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


def library_function(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Makes a function advise what to do if memory runs out, and name keyword arguments, not options, in its result's warnings.

    Its signature lists all keyword arguments, for ``help()`` and completion, and others are refused.
    """
    own = inspect.signature(function)
    given = [name for name, each in own.parameters.items() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    known = given if len(given) == len(own.parameters) else list(dict.fromkeys([*given, *EstimateArguments.__annotations__]))

    @wraps(function)
    def called(*arguments: _P.args, **options: _P.kwargs) -> _R:
        for name in sorted(options.keys() - known):
            raise unknown_keyword(name, known)
        try:
            return _with_keywords(function(*arguments, **options))
        except Exception as error:
            if isinstance(error, WdistError) or not out_of_memory(error):
                raise
            raise WdistError("there is not enough memory; give fewer samples, or a smaller batch_size or width") from error

    called.__signature__ = _listed(own)  # type: ignore[attr-defined]
    return called


def _listed(signature: inspect.Signature) -> inspect.Signature:
    """The signature with the options of an estimate one by one in place of ``**arguments: Unpack[EstimateArguments]``."""
    own = {name: each for name, each in signature.parameters.items() if each.annotation != f"Unpack[{EstimateArguments.__name__}]"}
    if len(own) == len(signature.parameters):
        return signature
    defaults = {each.name: each.default for kind in (EstimateOptions, Access, CriticSettings) for each in fields(kind)}
    for name, annotation in EstimateArguments.__annotations__.items():
        words = annotation.__forward_arg__
        default = None if words.endswith("None") else defaults[name]
        own.setdefault(name, inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=words))
    return signature.replace(parameters=list(own.values()))


def _with_keywords(result: Any) -> Any:
    """The result with keyword arguments instead of options in its warnings, and in those of the estimate that it holds."""
    changes: dict[str, Any] = {}
    if is_dataclass(result) and hasattr(result, "warnings"):
        side = getattr(getattr(result, "estimate", result), "a", None)
        of_values = side is not None and not side.addressed
        changes["warnings"] = tuple(in_python(warning, of_values=of_values) for warning in result.warnings)
    if is_dataclass(result) and hasattr(result, "estimate"):
        changes["estimate"] = _with_keywords(result.estimate)
    return replace(result, **changes) if changes else result


@contextmanager
def keeping(checkpoint: Any, resume: Any, command: str, *options: Any, **others: Any) -> Iterator[None]:
    """Saves the state of a call in a folder, if one is given; a resumed call must have the same ``options`` and ``others``."""
    from wdist.checkpoints.folder import kept
    from wdist.checkpoints.manifest import settings_of

    folder = accepted("checkpoint", checkpoint, str, Path, None)
    settings = {name: value for each in options for name, value in settings_of(each).items()} | others
    with kept(
        None if folder is None else Path(folder).expanduser(),
        resume=accepted("resume", resume, bool),
        command=command,
        settings=settings,
        warn=lambda sentence: warnings.warn(in_python(sentence), stacklevel=2),
    ):
        yield


@contextmanager
def listening(progress: bool | None, observer: Listener | None) -> Iterator[Observer]:
    """The observer of a call: the display, if progress is shown (by default in terminals and notebooks), and the caller's own."""
    own = _observer_of(observer)
    with ExitStack() as stack:
        display = stack.enter_context(_display(accepted("progress", progress, bool, None)))
        yield own if isinstance(display, Silent) else display if isinstance(own, Silent) else _Listeners(display.notify, own.notify)


def _observer_of(observer: Any) -> Observer:
    if observer is None:
        return Silent()
    if hasattr(observer, "notify"):
        return observer
    if not callable(observer):
        raise UsageError(f"observer must be a function of an event, or have a method notify(event), not {shown(observer)}")
    return _Listeners(observer)


def _display(progress: bool | None) -> AbstractContextManager[Observer]:
    notebook = _in_notebook()
    watched = notebook or (sys.stderr is not None and sys.stderr.isatty())
    if not (watched if progress is None else progress):
        return nullcontext(Silent())
    from wdist.report.terminal.console import SafeConsole
    from wdist.report.terminal.progress import NotebookDisplay, display_on

    if notebook:
        return NotebookDisplay()
    return display_on(SafeConsole(file=sys.stderr, highlight=False, markup=False, emoji=False))


def _in_notebook() -> bool:
    """Whether IPython runs in a kernel, whose cells show HTML, and not in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


class _Listeners:
    """Functions of events as one observer."""

    def __init__(self, *functions: Callable[[Event], object]) -> None:
        self._functions = functions

    def notify(self, event: Event) -> None:
        for function in self._functions:
            function(event)


def named(side: Any, name: str, access: Access, seed: int = 0, *, strict: bool = True) -> Any:
    """Opens values under a name, so that messages say ``<tensor A>`` instead of ``<tensor>``; returns other sources unchanged."""
    if side is None:
        raise UsageError(f"{name} is None; give a tensor, an array, an address or an open source")
    if isinstance(side, str | Path | FiniteSource | EndlessSource):
        return side
    try:
        source = open_source(side, access, seed=seed, strict=strict)
    except WdistError as error:
        raise type(error)(_with_name(str(error), name)) from error
    source.info = replace(source.info, address=_with_name(source.info.address, name))
    return source


def _with_name(text: str, name: str) -> str:
    return re.sub(r"<(tensor|array|frame|dataset)>", rf"<\1 {name}>", text)
