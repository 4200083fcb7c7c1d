"""Errors as sentences that end with a remedy, and the exit status of each."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from enum import IntEnum

from wdist.keywords import for_caller


class ExitStatus(IntEnum):
    """Exit statuses of the command line, which scripts rely on."""

    DONE = 0
    GATE_FAILED = 1
    BAD_INPUT = 2
    INCONCLUSIVE = 3
    NOT_CERTIFIED = 4
    INTERNAL = 70
    INTERRUPTED = 130
    TERMINATED = 143


class WdistError(Exception):
    """Base of all errors that the user can fix; the message is a sentence that ends with a remedy.

    Messages name options (``--folds``); unless a command runs, ``str`` turns them into keyword arguments (``folds``).
    """

    exit_status: ExitStatus = ExitStatus.BAD_INPUT

    def __str__(self) -> str:
        return for_caller(super().__str__())


class UsageError(WdistError):
    """Options that contradict each other or lie outside their range."""


class SourceError(WdistError):
    """A source that cannot be read, or whose content cannot be compared."""


class TrustRequired(SourceError):
    """A source that could run code when opened, given without ``--trust``."""


class OutputError(WdistError):
    """A file that cannot be written."""


class DeviceError(WdistError):
    """A requested device that is not available."""


class TrainingDiverged(WdistError):
    """Training produced values that are not finite before any bound was proved."""

    exit_status = ExitStatus.NOT_CERTIFIED


class CertificateError(WdistError):
    """A critic whose Lipschitz constant cannot be bounded."""

    exit_status = ExitStatus.NOT_CERTIFIED


class ContradictionError(Exception):
    """Proved bounds that exclude each other: an error in wdist, never the user's, so no result is shown."""


@contextmanager
def explained(explain: Callable[[Exception], WdistError]) -> Iterator[None]:
    """Turns any exception that a library raises because of a file or an option into a sentence, except lack of memory."""
    try:
        yield
    except WdistError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise explain(error) from error


def explained_as(fault: str, way_out: str) -> AbstractContextManager[None]:
    """A context that turns any exception of a library into ``fault (its first line); way_out``, except lack of memory."""
    return explained(lambda error: SourceError(f"{fault} ({first_line(error)}); {way_out}"))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory could not be allocated, on the CPU, on a GPU or for a thread."""
    words = str(error).lower()
    phrases = ("out of memory", "allocate memory", "memory allocation", "can't start new thread")
    return isinstance(error, MemoryError) or any(phrase in words for phrase in phrases)


def first_line(error: BaseException) -> str:
    """The first line of an error's message without its full stop, or the error's type if the message is empty."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(error).__name__
