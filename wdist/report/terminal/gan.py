"""A trained generator as text: its training, and the addresses to paste."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.console import Group
from rich.text import Text

from wdist.report.numbers import at_least, counted, duration, shape

if TYPE_CHECKING:
    from rich.console import RenderableType

    from wdist.gan.training import Checkpoint, GanResult


def line(checkpoint: Checkpoint) -> Text:
    """One checkpoint, shown when it is written."""
    proved = "" if checkpoint.lower is None else f"; W1 of {counted(checkpoint.compared)} images >= {at_least(checkpoint.lower)}"
    ahead = f", {duration(checkpoint.seconds_left)} left" if checkpoint.fraction < 1 else ""
    return Text(f"step {counted(checkpoint.step)}, {checkpoint.rate:.3g} steps/s{ahead}{proved}")


def rendered_gan(result: GanResult) -> RenderableType:
    """The training, the bounds that it proved, and the addresses."""
    return Group(_summary(result), Text(""), _addresses(result))


def _summary(result: GanResult) -> Text:
    pixels = shape(result.event_shape)
    text = Text()
    text.append(f"a generator of {pixels} images, {counted(result.steps)} steps against {result.settings.critic}", style="bold")
    text.append(f"  {duration(result.seconds)}", style="dim")
    if result.resumed_at is not None:
        text.append(f", resumed at step {counted(result.resumed_at)}", style="dim")
    proved = [(each.step, each.lower) for each in result.measured if each.lower is not None]
    if proved:
        step, lower = proved[-1]
        text.append(
            f"\nproved by the critic at step {counted(step)}: W1 between {counted(result.compared)} images and as many "
            f"generated ones is at least {at_least(lower)} (certain for these samples; Euclidean metric, pixels in [0, 1])"
        )
        values = "  ".join(f"{counted(step)}: {at_least(lower, 3)}" for step, lower in proved)
        text.append(f"\nstep by step  {values}", style="dim")
    if result.interrupted:
        text.append("\ninterrupted; --resume continues from here", style="yellow")
    return text


def _addresses(result: GanResult) -> Text:
    """Addresses to paste, quoted for a shell, a line each; the lines are never broken."""
    rows = [("generator", shlex.quote(result.generator)), ("samples", shlex.quote(str(result.sheet)))]
    if result.exported is not None:
        rows.insert(1, ("program", f"{shlex.quote(result.exported)}  (--trust)"))
    rows.append(("next", f"wdist estimate {shlex.quote(result.settings.data)} {shlex.quote(result.generator)}"))
    text = Text(no_wrap=True, overflow="ignore")
    for position, (name, value) in enumerate(rows):
        text.append(f"{name:<10}", style="dim").append(value + ("\n" if position < len(rows) - 1 else ""))
    return text
