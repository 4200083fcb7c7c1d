"""``wdist verify CRITIC A B``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.expansion import expanded
from wdist.cli.request import SourceOptions
from wdist.errors import ExitStatus, SourceError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.estimation.verification import Verification


@expanded
def command(
    critic: Annotated[Path, typer.Argument(metavar="CRITIC", help="A critic that --save-critic wrote, ending in .safetensors.")],
    a: Annotated[str | None, typer.Argument(metavar="A", help="First source. Default: the address that was saved.")] = None,
    b: Annotated[str | None, typer.Argument(metavar="B", help="Second source. Default: the address that was saved.")] = None,
    *,
    device: opt.Device = "cpu",
    features: opt.Features = None,
    sources: SourceOptions,
    json: opt.Json = False,
    output: opt.Output = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Re-check a saved critic: certificate and bound from its weights, without training.

    Says no, with exit status 4, when a weight, a sample or the claimed number was changed.

    Example: wdist verify critic.safetensors a.h5 b.h5
    """
    import sys

    from wdist.cli.console import notes_console, result_console
    from wdist.cli.delivery import check_no_input, done_whatever_fails
    from wdist.files import atomic_write, check_writable
    from wdist.report.terminal.progress import display_on
    from wdist.training.observer import Stage

    if not critic.is_file():
        raise SourceError(f"there is no file {critic}; name a critic that `wdist estimate A B --save-critic FILE` wrote")
    if output is not None:
        check_writable(output, option="-o")
        check_no_input([output], [str(critic), *(address for address in (a, b) if address is not None)])
    with display_on(notes_console(), quiet=quiet) as observer:
        observer.notify(Stage(what="verifying"))
        from wdist.estimation.verification import verify

        verification = verify(critic, a, b, access=sources.access(), features=features, device=device, observer=observer)

    def print_result() -> None:
        if json:
            sys.stdout.write(_document(verification, critic))
        else:
            result_console().print(_rendered(verification))
        sys.stdout.flush()

    def save_document() -> None:
        if output is not None:
            atomic_write(output, _document(verification, critic).encode())

    done_whatever_fails((print_result, save_document))()
    return ExitStatus.DONE if verification.ok else ExitStatus.NOT_CERTIFIED


def _document(verification: Verification, critic: Path) -> str:
    from wdist.report.documents.document import text
    from wdist.report.documents.verification import VerificationDocument

    return text(VerificationDocument.of(verification, critic=str(critic)))


def _rendered(verification: Verification) -> RenderableType:
    from wdist.report.terminal.verification import rendered_verification

    return rendered_verification(verification)
