"""``wdist gan train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wdist.cli import options as opt
from wdist.errors import ExitStatus

if TYPE_CHECKING:
    from wdist.gan.training import Checkpoint, GanResult

app = typer.Typer(help="Train a generator of images, for wdist estimate and its siblings to judge.", no_args_is_help=True)

_TRAINING, _SIZES, _OUTPUT = "Training", "Networks", "Output"


@app.callback()
def gan() -> None:
    """Train a generator of images, for wdist estimate and its siblings to judge."""


@app.command("train")
def train(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Folder for checkpoints, samples and state.")],
    data: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Images in [0, 1] to learn from: torchvision:MNIST?split=train, images/, a.h5, ..."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", metavar="", help="Go on with the training in DIR, to more steps.")] = False,
    steps: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, rich_help_panel=_TRAINING, help="Steps of the generator, all in all. Default: 4000."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(metavar="TIME", rich_help_panel=_TRAINING, help="Train for this long instead: 45s, 2m, 1h.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=_TRAINING, help="Images of each side in one step. Default: 64."),
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option(metavar="X", rich_help_panel=_TRAINING, help="Of the generator. Default: what suits the critic.")
    ] = None,
    critic_learning_rate: Annotated[
        float | None, typer.Option(metavar="X", rich_help_panel=_TRAINING, help="Of the critic, likewise.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            metavar="N", min=0, callback=opt.check_seed, rich_help_panel=_TRAINING, help="Of every random choice. Default: 0."
        ),
    ] = None,
    device: opt.Device = "auto",
    critic: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_SIZES,
            help="What the generator plays against: groupsort-conv (the default) or groupsort, which prove a lower bound as they "
            "go; gradient-penalty or weight-clipping, which prove none.",
        ),
    ] = None,
    latent: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=_SIZES, help="Size of the latent vector. Default: 64.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            metavar="N", rich_help_panel=_SIZES, help="Channels of the generator's first convolution. Default: 32; papers: 128."
        ),
    ] = None,
    critic_width: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=_SIZES, help="Units of the critic's dense layers. Default: 256; papers: 1024."),
    ] = None,
    critic_steps: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=_SIZES, help="Of the critic for one of the generator. Default: what suits it."),
    ] = None,
    download: opt.Download = False,
    trust: opt.Trust = False,
    json: opt.Json = False,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Train a Wasserstein GAN and leave checkpoints that every command reads as a source.

    Ctrl-C saves the state; --resume goes on from it, to the same digits as without a break.

    Example: wdist gan train --data torchvision:MNIST?split=train -o run --steps 2000
    """
    from wdist.errors import UsageError
    from wdist.training.budget import Budget

    given = {
        "data": data, "critic": critic, "latent": latent, "width": width, "critic_width": critic_width,
        "critic_steps": critic_steps, "batch_size": batch_size, "learning_rate": learning_rate,
        "critic_learning_rate": critic_learning_rate, "seed": seed,
    }  # fmt: skip
    given = {name: value for name, value in given.items() if value is not None}
    if data is None and not resume:
        raise UsageError("a new training needs images; name them with --data ADDRESS")
    limit = None if budget is None else Budget.parse(budget)  # refuses what is no length of time
    result = _trained(
        output, given, steps=steps, budget=limit, resume=resume, device=device, quiet=quiet, trust=trust, download=download
    )
    _print(result, json=json)
    return ExitStatus.INTERRUPTED if result.interrupted else ExitStatus.DONE


def _trained(
    folder: Path, given: dict[str, Any], *, resume: bool, quiet: bool, trust: bool, download: bool, **how: Any
) -> GanResult:
    from wdist.gan.settings import GanSettings
    from wdist.gan.training import train_gan
    from wdist.sources.source import Access

    return train_gan(
        folder,
        None if resume else GanSettings(**given),
        changes=given,
        resume=resume,
        access=Access(trust=trust, download=download, seed=given.get("seed", 0)),
        observer=(lambda checkpoint: None) if quiet else _tell,
        **how,
    )


def _tell(checkpoint: Checkpoint) -> None:
    from wdist.cli.console import notes_console
    from wdist.report.terminal.gan import line

    notes_console().print(line(checkpoint), soft_wrap=True)


def _print(result: GanResult, *, json: bool) -> None:
    import sys

    if json:
        from wdist.report.documents.document import text
        from wdist.report.documents.gan import GanDocument

        sys.stdout.write(text(GanDocument.of(result)))
    else:
        from wdist.cli.console import result_console
        from wdist.report.terminal.gan import addresses, rendered_gan

        console = result_console()
        console.print(rendered_gan(result))
        console.print()
        console.print(addresses(result), soft_wrap=True)
    sys.stdout.flush()
