"""``wdist gan train``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs

if TYPE_CHECKING:
    from wdist.gan.training import Checkpoint, GanResult

app = typer.Typer(no_args_is_help=True)

_TRAINING, _SIZES = "Training", "Networks"


@app.callback()
def gan() -> None:
    """Train generators of images for the other commands to judge."""


@dataclass(frozen=True, kw_only=True)
class GanFlags:
    """Options of a training; the critic or the resumed state decides those that are omitted."""

    data: str | None = opt.flag(
        None, "ADDRESS", "Images in [0, 1] to learn from: torchvision:MNIST?split=train, images/, a.h5, ..."
    )
    resume: bool = opt.flag(None, "", "Continue the training saved in DIR.", "--resume", default=False)
    steps: int | None = opt.flag(
        _TRAINING, "N", "Steps of the generator in total. Default: 4000, or those of the resumed training.", min=1
    )
    budget: str | None = opt.flag(_TRAINING, "TIME", "Training time, instead of --steps: 45s, 2m, 1h.")
    batch_size: int | None = opt.flag(_TRAINING, "N", "Images of each side in one step. Default: 64.")
    learning_rate: float | None = opt.flag(_TRAINING, "X", "Learning rate of the generator. Default: depends on the critic.")
    critic_learning_rate: float | None = opt.flag(_TRAINING, "X", "Learning rate of the critic. Default: depends on the critic.")
    seed: int | None = opt.flag(_TRAINING, "N", "Seed of every random choice. Default: 0.", min=0, callback=opt.check_seed)
    device: opt.Device = "auto"
    critic: str | None = opt.flag(
        _SIZES,
        "NAME",
        "Critic that the generator plays against: groupsort-conv (the default) or groupsort, which prove a lower "
        "bound during training, or gradient-penalty, gradient-penalty-maxmin, gradient-penalty-one-sided, lipschitz-penalty, "
        "adversarial-lipschitz, unconstrained or weight-clipping, which prove none.",
    )
    latent: int | None = opt.flag(_SIZES, "N", "Size of the latent vector. Default: 64.")
    width: int | None = opt.flag(_SIZES, "N", "Channels of the generator's first convolution. Default: 32; papers: 128.")
    critic_width: int | None = opt.flag(_SIZES, "N", "Units of the critic's dense layers. Default: 256; papers: 1024.")
    critic_steps: int | None = opt.flag(_SIZES, "N", "Critic steps for each generator step. Default: depends on the critic.")
    download: opt.Download = False
    trust: opt.Trust = False

    def train(self, folder: Path, observer: Callable[[Checkpoint], None]) -> GanResult:
        """Calls the library."""
        from wdist.data.access import Access
        from wdist.gan.settings import GanSettings
        from wdist.gan.training import train_gan
        from wdist.training.budget import Budget

        budget = None if self.budget is None else Budget.parse(self.budget)
        given = {each.name: value for each in fields(GanSettings) if (value := getattr(self, each.name)) is not None}
        return train_gan(
            folder,
            None if self.resume or self.data is None else GanSettings(**given),
            changes=given,
            resume=self.resume,
            steps=self.steps,
            budget=budget,
            device=self.device,
            access=Access(trust=self.trust, download=self.download),
            observer=observer,
        )


@app.command("train")
@opt.expanded
def train(
    output: Annotated[Path, opt.option(None, "DIR", "Folder for checkpoints, samples and state.", "-o", "--output")],
    request: GanFlags,
    outputs: Annotated[Outputs, OutputOptions("gan", files=False)],
) -> int:
    """Train a Wasserstein GAN, whose checkpoints are sources for every other command.

    Ctrl-C saves the state; --resume continues from it and gives the same digits as an uninterrupted training.

    Example: wdist gan train --data torchvision:MNIST?split=train -o run --steps 2000
    """
    outputs.check(sources=filter(None, [request.data]))
    from wdist.distributed.processes import processes

    train = partial(request.train, output, (lambda checkpoint: None) if outputs.quiet else _report)
    return outputs.deliver(processes().from_first("training", train))


def _report(checkpoint: Checkpoint) -> None:
    from wdist.cli.console import notes_console
    from wdist.report.terminal.facts import line

    notes_console().print(line(checkpoint), soft_wrap=True)
