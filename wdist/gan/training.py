"""A Wasserstein GAN, from an address of images to checkpoints of a generator.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.2, appendices H.2 and H.3.
"""

import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wdist.bounds.certificate import certify
from wdist.bounds.dual import evaluate, lower_bound
from wdist.data.access import Access
from wdist.data.measure import random_stream
from wdist.environment import Environment, choose_device, environment
from wdist.errors import SourceError, TrainingDiverged, UsageError
from wdist.files import atomic_write
from wdist.gan import files
from wdist.gan.images import Images, load_images
from wdist.gan.player import Game
from wdist.gan.settings import GanSettings
from wdist.gan.sheet import drawn
from wdist.training.budget import Budget, Clock

STEPS = 4000
"""Steps of a training for which neither steps nor a time is given."""
CHECKPOINTS = 10
"""Checkpoints of one training, evenly spread over its budget."""
COMPARED = 2048
"""Images of each side that a certified bound is stated for."""
_SHOWN = 100
_SHEET_SIDE, _COMPARED_SIDE = 14, 15
_EVALUATED = 256


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The progress of a training at one of its checkpoints."""

    step: int
    fraction: float
    """Share of the budget that is spent."""
    seconds: float
    """Time since this call began."""
    rate: float
    """Steps per second since then."""
    seconds_left: float
    """Time until the budget ends, at that rate."""
    lower: float | None
    """A lower bound for W1 between :attr:`compared` images and as many generated ones, which holds for certain; None without a
    certificate."""
    compared: int
    path: Path
    address: str


@dataclass(frozen=True, kw_only=True)
class GanResult:
    """A trained generator in its folder."""

    settings: GanSettings
    folder: Path
    event_shape: tuple[int, ...]
    steps: int
    seconds: float
    interrupted: bool
    resumed_at: int | None
    """The step from which this call resumed; None where it started a new training."""
    generator: str
    """Address of the last checkpoint, which every command accepts as a source."""
    exported: str | None
    """Address of the same generator as a program, which needs ``--trust``; None if the training was interrupted."""
    sheet: Path
    compared: int
    """Images of each side in the bounds of :attr:`measured`."""
    measured: tuple[files.Measured, ...]
    """One entry for each checkpoint, including those from before a resumption."""
    checkpoints: tuple[str, ...]
    """Addresses of the numbered checkpoints that this call wrote, in their order."""
    environment: Environment


def train_gan(
    folder: str | Path,
    settings: GanSettings | None = None,
    *,
    steps: int | None = None,
    budget: Budget | str | None = None,
    resume: bool = False,
    changes: dict[str, Any] | None = None,
    device: str = "auto",
    access: Access = Access(),
    observer: Callable[[Checkpoint], None] = lambda checkpoint: None,
) -> GanResult:
    """Trains a generator against a critic and leaves its checkpoints in a folder.

    The same settings and steps give the same weights on one machine, however often the training is interrupted and resumed. Ctrl-C
    ends it after the step in hand and saves what a resumption needs.

    Arguments:
        folder: for all files.
        settings: of a new training; a resumed one has its own.
        steps: of the generator, those before a resumption included.
        budget: a length of time instead, from now.
        resume: go on with the training in ``folder``.
        changes: settings that were asked for at a resumption; they must be those of the training.
        device: of the training.
        access: what opening the images may do.
        observer: is told of each checkpoint.

    Raises:
        UsageError: options contradict each other or the training that is resumed.
        OutputError: the folder cannot be written to, or holds a training already.
        SourceError: the images cannot be read.
        TrainingDiverged: weights became nan or infinite; the last checkpoint stands.
    """
    folder, chosen = Path(folder).expanduser(), choose_device(device)
    limit = _limit(steps, budget)
    saved = files.load_state(folder) if resume else None
    if saved is not None:
        _check_agrees(saved.settings, changes or {})
        settings = saved.settings
        if limit.steps is not None and limit.steps <= saved.steps:
            raise UsageError(f"-o {folder} holds {saved.steps:,} steps already; ask for more with --steps {2 * saved.steps}")
    if settings is None:
        raise UsageError("a new training needs images; name them with --data ADDRESS")
    if saved is None:
        files.check_new(folder)
    # Which images ?limit= takes is a random choice of the training, too.
    images = load_images(settings.data, access, seed=settings.seed)
    files.prepare(folder)
    game = Game(settings, images, chosen)
    if saved is not None:
        _restore(game, saved, images, folder)
    return _Course(game, images, folder, observer, saved).run(limit)


class _Course:
    """A running training, and the checkpoints that it has written so far."""

    def __init__(
        self, game: Game, images: Images, folder: Path, observer: Callable[[Checkpoint], None], saved: files.SavedState | None
    ) -> None:
        self._game, self._images, self._folder, self._observer = game, images, folder, observer
        self._resumed_at = None if saved is None else saved.steps
        self._measured = () if saved is None else saved.measured
        self._written: list[str] = []

    def run(self, limit: Budget) -> GanResult:
        """Trains until the budget ends, or until Ctrl-C."""
        game, clock = self._game, limit.start()
        began_at, interrupted, between_steps, told = game.steps, False, True, -1
        due = math.floor(clock.fraction(game.steps) * CHECKPOINTS) + 1
        with _postponed() as asked_to_stop:
            try:
                while clock.fraction(game.steps) < 1:
                    between_steps = False
                    game.step()
                    between_steps = True
                    spent = clock.fraction(game.steps)
                    if asked_to_stop():
                        raise KeyboardInterrupt
                    if spent >= due / CHECKPOINTS or spent >= 1:
                        due, told = math.floor(spent * CHECKPOINTS) + 1, game.steps
                        self._checkpoint(clock, began_at)
            except KeyboardInterrupt:
                interrupted = True
                # A second Ctrl-C does not wait for the step; what it leaves is no state to go on from.
                if between_steps and told != game.steps:
                    self._checkpoint(clock, began_at)
                if not self._written:
                    raise
        return self._finish(clock, interrupted=interrupted)

    def _checkpoint(self, clock: Clock, began_at: int) -> None:
        """Writes weights, sample sheet and state, and notifies the observer."""
        game = self._game
        generator = game.averaged()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in generator.state_dict().values()):
            raise TrainingDiverged(
                f"the generator's weights became nan before step {game.steps}; try a lower --learning-rate in another folder"
            )
        lower = self._proved(generator)
        self._measured = (*self._measured, files.Measured(step=game.steps, lower=lower))
        path = self._folder / f"generator-{game.steps:06d}.safetensors"
        page = drawn(generator, self._latents(_SHOWN, _SHEET_SIDE))
        for weights, sheet in ((path, f"samples-{game.steps:06d}.png"), (self._folder / files.FINAL, files.SHEET)):
            files.save_generator(weights, generator)
            atomic_write(self._folder / sheet, page)
        files.save_state(self._folder, game, self._images.digest, self._measured)
        address = self._address(path)
        self._written.append(address)
        seconds, budget = clock.seconds, clock.budget
        rate = (game.steps - began_at) / max(seconds, 1e-9)
        left = (budget.seconds or 0.0) - seconds if budget.steps is None else (budget.steps - game.steps) / max(rate, 1e-9)
        self._observer(
            Checkpoint(
                step=game.steps,
                fraction=clock.fraction(game.steps),
                seconds=seconds,
                rate=rate,
                seconds_left=max(0.0, left),
                lower=lower,
                compared=self._compared,
                path=path,
                address=address,
            )
        )

    def _proved(self, generator: nn.Module) -> float | None:
        """The lower bound for some images and as many of the generator's, in the units of the data."""
        game = self._game
        if not game.opponent.certified:
            return None
        critic = game.opponent.critic.freeze(self._images.standardisation)
        a = self._images.spread_out(COMPARED)
        with torch.no_grad():
            b = generator(self._latents(len(a), _COMPARED_SIDE)).flatten(1).double()
        bound = certify(critic).lipschitz_bound
        return lower_bound(evaluate(critic, a.split(_EVALUATED)), evaluate(critic, b.split(_EVALUATED)), bound)

    @property
    def _compared(self) -> int:
        return min(COMPARED, self._images.rows.count)

    def _latents(self, n: int, side: int) -> Tensor:
        settings = self._game.settings
        return torch.randn(n, settings.latent, generator=random_stream(settings.seed, side, 0))

    def _address(self, path: Path) -> str:
        return files.address(path, self._game.settings, self._images.event_shape)

    def _finish(self, clock: Clock, *, interrupted: bool) -> GanResult:
        game, folder = self._game, self._folder
        seconds = clock.seconds
        exported = None
        if not interrupted:
            exported = folder / files.EXPORTED
            files.export_generator(exported, game.averaged(), game.settings.latent)
        return GanResult(
            settings=game.settings,
            folder=folder,
            event_shape=self._images.event_shape,
            steps=game.steps,
            seconds=seconds,
            interrupted=interrupted,
            resumed_at=self._resumed_at,
            generator=self._address(folder / files.FINAL),
            exported=None if exported is None else str(exported),
            sheet=folder / files.SHEET,
            compared=self._compared,
            measured=self._measured,
            checkpoints=tuple(self._written),
            environment=environment(next(game.generator.parameters()).device),
        )


def _limit(steps: int | None, budget: Budget | str | None) -> Budget:
    if steps is not None and budget is not None:
        raise UsageError("--steps and --budget both limit the training; give one of them")
    if isinstance(budget, str):
        budget = Budget.parse(budget)
    return budget or Budget(steps=STEPS if steps is None else steps)


def _check_agrees(settings: GanSettings, changes: dict[str, Any]) -> None:
    """Refuses a resumption that would be another training.

    Raises:
        UsageError: names the first option that differs.
    """
    for name, value in asdict(replace(settings, **changes)).items():
        if name in changes and value != getattr(settings, name):
            option = f"--{name.replace('_', '-')}"
            raise UsageError(
                f"{option} {value} is not that of the training, {getattr(settings, name)}; leave it out, or start in another folder"
            )


def _restore(game: Game, saved: files.SavedState, images: Images, folder: Path) -> None:
    if images.digest != saved.digest:
        raise SourceError(
            f"{saved.settings.data} holds other images than those that {folder} was trained on; start in another folder"
        )
    try:
        game.load_(saved.tensors, saved.steps)
    except (KeyError, ValueError) as error:
        raise SourceError(f"{folder / files.STATE} is no state of this training ({error}); start anew in another folder") from error


@contextmanager
def _postponed() -> Iterator[Callable[[], bool]]:
    """Ctrl-C waits for the end of a step, so that the state that is saved is one between steps; a second one does not wait.

    Gives what says whether it was pressed. Elsewhere than in the main thread, to which signals come, nothing is changed.
    """
    pressed: list[float] = []

    def on_interrupt(number: int, frame: object) -> None:
        del number, frame
        pressed.append(time.perf_counter())
        if len(pressed) > 1:
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    before = signal.signal(signal.SIGINT, on_interrupt)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)
