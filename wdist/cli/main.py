"""The ``wdist`` command: its subcommands, and the only place where signals and errors become sentences and exit statuses."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

import typer

from wdist.cli import (
    compare,
    dependence,
    doctor,
    drift,
    estimate,
    gan,
    gate,
    guide,
    inspect,
    lipschitz,
    merge,
    robust,
    schema,
    studies,
    synthetic,
    verify,
)
from wdist.distributed.job import Job, JobEnded, is_first, launched, rank
from wdist.distributed.processes import ProcessesError
from wdist.environment import package_version, versions
from wdist.errors import ExitStatus, WdistError, out_of_memory
from wdist.interruption import Terminated, signals_as_ctrl_c
from wdist.keywords import command_line

# Read when torch is first imported. Threads that spin while they wait slow a step down tenfold once another process wants a core.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

_SHARED = ("estimate", "synthetic", "compare", "gate", "drift", "gan", "bench")
"""Commands whose work several processes share; only the first process of a torchrun job runs the others."""
_OTHER_NAMES = {
    **dict.fromkeys(("--max-time", "--time", "--time-limit", "--timeout"), "--budget"),
    **dict.fromkeys(("--epochs", "--iterations", "--max-steps"), "--steps"),
    "--lr": "--learning-rate",
}
"""Our options by the names that other tools give them."""

app = typer.Typer(
    name="wdist",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit status: 0 done or gate passed; 1 gate failed or drift found; 2 wrong usage or bad input; 3 gate inconclusive; "
    "4 not certified; 70 internal error; 130 interrupted; 143 terminated, and can be resumed.",
)
for _each in (estimate, synthetic, compare, merge, gate, drift, dependence, robust, verify, lipschitz, inspect):
    app.command(_each.__name__.rpartition(".")[2])(_each.command)
app.add_typer(gan.app, name="gan")
app.command("reproduce")(studies.reproduce)
app.command("bench")(studies.bench)
for _each in (schema, doctor, guide):
    app.command(_each.__name__.rpartition(".")[2])(_each.command)

# Typer keeps the class of its usage errors private; it is the base of the one that it shows.
_TyperUsageError: type[Any] = typer.BadParameter.__mro__[1]


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"wdist {package_version()}")
        raise typer.Exit


@app.callback()
def wdist(
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Certified bounds for the Wasserstein-1 distance between two sample sets."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command, by default that of this process, and returns its :class:`~wdist.errors.ExitStatus`."""
    process_is_ours = arguments is None
    _open_closed_streams()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with signals_as_ctrl_c(), command_line():
            return _main(arguments)
    except (KeyboardInterrupt, Terminated) as stopped:
        if process_is_ours:
            # A second Ctrl-C, while the interpreter exits, would show a traceback and change the exit status.
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_IGN)
        if not is_first():
            return ExitStatus.INTERRUPTED
        if isinstance(stopped, Terminated):
            _complain("terminated; the same command with --resume continues this run")
            return ExitStatus.TERMINATED
        _complain("interrupted before there was a result")
        return ExitStatus.INTERRUPTED


def _open_closed_streams() -> None:
    """Points streams that the caller closed (``2>&-``) to the null device, so that no data file gets their descriptors."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115


def _main(arguments: list[str]) -> int:
    debug, job = "--debug" in arguments, Job()
    with _warnings_of_libraries(shown=debug), _silence_unless_first():
        try:
            with _shared(job, arguments):
                status = _run(arguments) if is_first() or _is_shared(arguments) else ExitStatus.DONE
                sys.stdout.flush()
            return status
        except BrokenPipeError:
            _discard_stdout()
            return ExitStatus.DONE
        except SystemExit as leaving:
            # Typer exits this way when the reader of stdout has gone.
            if not isinstance(leaving.__context__, BrokenPipeError):
                raise
            _discard_stdout()
            return ExitStatus.DONE
        except JobEnded as ended:
            with _speaking(job):
                _complain(str(ended), of_the_job=True)
            return ExitStatus.INTERRUPTED
        except Exception as error:
            with _speaking(job):
                if debug:
                    import traceback

                    traceback.print_exc()
                return _explain(error, arguments)


def _is_shared(arguments: list[str]) -> bool:
    return bool(arguments) and arguments[0] in _SHARED and not {"-h", "--help"} & set(arguments)


def _shared(job: Job, arguments: list[str]) -> contextlib.AbstractContextManager[None]:
    """Joins the processes that torchrun started, if any, for a command whose work they share."""
    if not launched() or not _is_shared(arguments):
        return contextlib.nullcontext()
    return job.joined(versions=versions(), command=arguments)


@contextlib.contextmanager
def _silence_unless_first() -> Iterator[None]:
    """Silences all processes of a job but the first."""
    if is_first():
        yield
        return
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere), contextlib.redirect_stderr(nowhere):
        yield


@contextlib.contextmanager
def _speaking(job: Job) -> Iterator[None]:
    """Lets exactly one process of a job report an error."""
    with open(os.devnull, "w") as nowhere:
        heard = sys.stderr if is_first() else sys.__stderr__
        with contextlib.redirect_stderr(heard if job.speaks() else nowhere):
            yield


def _run(arguments: list[str]) -> int:
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            # A terminal that lacks a character shows a question mark instead of losing the result.
            stream.reconfigure(errors="replace")
    returned = app(arguments, prog_name="wdist", standalone_mode=False)
    if returned == ExitStatus.INTERRUPTED and not isinstance(returned, ExitStatus):
        # Typer turns an interrupt into a plain 130; a command that kept its result reports that and returns an ExitStatus.
        raise KeyboardInterrupt
    return int(returned or ExitStatus.DONE)


def _explain(error: Exception, arguments: list[str]) -> int:
    """Explains an error on stderr in one sentence, and returns its exit status."""
    if isinstance(error, WdistError):
        _complain(str(error), of_the_job=isinstance(error, ProcessesError))
        return error.exit_status
    if isinstance(error, _TyperUsageError):
        if not error.format_message():  # no arguments at all: Typer has shown the help
            return ExitStatus.BAD_INPUT
        _complain(_usage_sentence(error, arguments))
        return ExitStatus.BAD_INPUT
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        _discard_stdout()
        _complain("the disk is full; free some space, or write the result elsewhere")
        return ExitStatus.BAD_INPUT
    if out_of_memory(error):
        _complain("there is not enough memory; try fewer samples (?limit=10000), a smaller --batch-size or a smaller --width")
        return ExitStatus.BAD_INPUT
    _complain(f"internal error ({type(error).__name__}: {error}); please report it with the output of the same command and --debug")
    return ExitStatus.INTERNAL


def _usage_sentence(error: Any, arguments: list[str]) -> str:
    """Says what is wrong with the command line, and suggests what was meant."""
    called = " ".join(["wdist", *(each for each in arguments[:1] if not each.startswith("-"))])
    command = called if error.ctx is None else error.ctx.command_path
    help_hint = f"`{command} --help` lists all options"
    unknown = getattr(error, "option_name", None)
    if unknown is not None and hasattr(error, "possibilities"):
        named = next((each for each in arguments if each.startswith(unknown) and os.path.exists(re.split("[?:]", each)[0])), None)
        if named is not None:
            return f"{named} looks like an option; to name the file, write ./{named}"
        parameters = error.ctx.command.params if error.ctx is not None else []
        known = [name for parameter in parameters for name in parameter.opts if name.startswith("--")]
        other = _OTHER_NAMES.get(unknown)
        meant = [other] if other in known else get_close_matches(unknown, known, n=1, cutoff=0.65)
        return f"there is no option {unknown}; " + (f"did you mean {meant[0]}?" if meant else help_hint)
    message = str(error.format_message())
    if message.startswith("No such command") and os.path.exists(arguments[0].partition("?")[0]):
        return f"{arguments[0]} is a file, not a command; to compare two files, write wdist estimate A B"
    message = message.replace("\n", " ").strip().rstrip(".")
    message = message.replace(": Input should be", ": it should be").partition(", unable to parse")[0]
    return message[:1].lower() + message[1:] + (f"; {help_hint}" if not message.endswith("?") else "")


def _complain(sentence: str, *, of_the_job: bool = False) -> None:
    from wdist.cli.console import complain

    # The reader of stderr may be gone as well; the exit status still reports the failure.
    with contextlib.suppress(OSError):
        complain(sentence if is_first() or of_the_job else f"process {rank()} of this job: {sentence}")


def _discard_stdout() -> None:
    from wdist.cli.console import discard

    discard(sys.stdout)


@contextlib.contextmanager
def _warnings_of_libraries(*, shown: bool) -> Iterator[None]:
    """Hides warnings meant for programmers unless they are requested."""
    with warnings.catch_warnings():
        if not shown and not sys.warnoptions:
            warnings.simplefilter("ignore")
        yield
