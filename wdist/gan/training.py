"""A Wasserstein GAN, from an address of images to checkpoints of a generator.

References:
    Arjovsky, Chintala & Bottou (2017), Wasserstein GAN, arXiv:1701.07875.
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, section 7.2, appendices H.2 and H.3.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wdist.bounds.certificate import certify
from wdist.bounds.dual import evaluate, lower_bound
from wdist.data.access import Access
from wdist.data.sources.address import expanded
from wdist.data.sources.source import random_stream
from wdist.environment import Environment, choose_device, environment
from wdist.errors import SourceError, TrainingDiverged, UsageError
from wdist.gan import files
from wdist.gan.game import Game
from wdist.gan.images import Images, image_sheet, load_images
from wdist.gan.settings import GanSettings
from wdist.interruption import Interruption, deferred_interrupts
from wdist.training.budget import Budget

STEPS = 4000
"""Steps of a training without a budget."""
CHECKPOINTS = 10
"""Checkpoints of a training, evenly spread over its budget."""
COMPARED = 2048
"""Images of each side between which a certified bound is stated."""
_SHOWN = 100
_SHEET_SIDE, _COMPARED_SIDE = 14, 15
_EVALUATED = 256


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Progress of a training at a checkpoint."""

    step: int
    fraction: float
    """Fraction of the budget that is spent."""
    rate: float
    """Steps per second since this call began."""
    seconds_left: float
    """Seconds until the budget ends, at that rate."""
    lower: float | None
    """Certain lower bound of W1 between :attr:`compared` images and equally many generated ones; None without a certificate."""
    compared: int
    address: str
    """Address of the checkpoint, which every command accepts as a source."""


@dataclass(frozen=True, kw_only=True)
class GanResult:
    """Trained generator in its folder."""

    settings: GanSettings
    folder: Path
    event_shape: tuple[int, ...]
    steps: int
    seconds: float
    interrupted: bool
    resumed_at: int | None
    """Step from which this call resumed; None for a new training."""
    generator: str
    """Address of the last checkpoint, which every command accepts as a source."""
    exported: str | None
    """Path of the same generator as a program, which needs ``--trust``; None if the training was interrupted."""
    sheet: Path
    compared: int
    """Images of each side in the bounds of :attr:`measured`."""
    measured: tuple[files.Measured, ...]
    """One measurement for each checkpoint, including those from before a resumption."""
    checkpoints: tuple[str, ...]
    """Addresses of the numbered checkpoints that this call wrote, in order."""
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
    ends the training after the current step and saves the state for resuming.

    Arguments:
        folder: folder for all files.
        settings: settings of a new training; a resumed one keeps its own.
        steps: steps of the generator, including those before a resumption; by default those of the training that is resumed.
        budget: training time of this call, instead of ``steps``.
        resume: continues the training in ``folder``.
        changes: settings that the user requested when resuming; they must equal those of the training.
        device: device of the training.
        access: permissions for opening the images.
        observer: receives each checkpoint.

    Raises:
        UsageError: options contradict each other or the training that is resumed.
        OutputError: the folder cannot be written to, or already holds a training.
        SourceError: the images cannot be read.
        TrainingDiverged: weights became nan or infinite; the last checkpoint is kept.
        KeyboardInterrupt: the user interrupted before there was anything to save.
    """
    folder, chosen = expanded(str(folder)), choose_device(device)
    limit = _limit(steps, budget)
    if settings is None and not resume:
        raise UsageError("a new training needs images; name them with --data ADDRESS, or continue a training with --resume")
    with files.claimed(folder, resume=resume) as saved:
        if saved is not None:
            if steps is None and budget is None and saved.goal is not None:
                limit = Budget(steps=saved.goal)
            _check_resumable(saved, folder, limit, changes or {})
            settings = saved.settings
        assert settings is not None
        files.check_apart(folder, settings.data)
        # The training's seed also determines the rows that ?limit= chooses.
        images = load_images(settings.data, access, seed=settings.seed)
        game = Game(settings, images, chosen)
        if saved is not None:
            _restore(game, saved, images, folder)
        return _Training(game, images, folder, limit, observer, saved).run()


class _Training:
    """A running training and the checkpoints that it has written so far."""

    def __init__(
        self,
        game: Game,
        images: Images,
        folder: Path,
        limit: Budget,
        observer: Callable[[Checkpoint], None],
        saved: files.SavedState | None,
    ) -> None:
        self._game, self._images, self._folder, self._observer = game, images, folder, observer
        self._clock, self._began_at = limit.start(), game.steps
        self._due = self._checkpoints_passed() + 1
        self._stepping = False
        """Whether a step is in progress, so that the state must not be saved."""
        self._reached = None if saved is None else saved.steps
        """Step of the last checkpoint."""
        self._resumed_at = None if saved is None else saved.steps
        self._measured = () if saved is None else saved.measured
        self._written: list[str] = []
        self._compared = min(COMPARED, images.rows.count)

    def run(self) -> GanResult:
        """Trains until the budget ends or the user interrupts."""
        interruption = Interruption()
        interruption.attempt(self._train)
        if self._reached != self._game.steps and not self._stepping:
            self._checkpoint()
        if self._reached is None:
            raise KeyboardInterrupt
        exported = interruption.attempt(self._export)
        return self._result(exported, interrupted=interruption.requested)

    def _train(self) -> None:
        """Takes steps and writes the checkpoints that are due; an interruption waits for the end of both."""
        while self._clock.fraction(self._game.steps) < 1:
            with deferred_interrupts():
                self._stepping = True
                self._game.step()
                self._stepping = False
                passed = self._checkpoints_passed()
                if passed >= self._due:
                    self._due = passed + 1
                    self._checkpoint()

    def _checkpoints_passed(self) -> int:
        return math.floor(self._clock.fraction(self._game.steps) * CHECKPOINTS)

    def _checkpoint(self) -> None:
        """Writes weights, sample sheet and state, and notifies the observer."""
        game = self._game
        self._reached = game.steps
        generator = game.averaged()
        if not all(bool(torch.isfinite(tensor).all()) for tensor in generator.state_dict().values()):
            raise TrainingDiverged(
                f"the generator's weights became nan before step {game.steps}; try a lower --learning-rate in another folder"
            )
        lower = self._lower_bound(generator)
        self._measured = (*self._measured, files.Measured(step=game.steps, lower=lower))
        with torch.no_grad():
            sheet = image_sheet(generator(self._latents(_SHOWN, _SHEET_SIDE)))
        path = files.save_checkpoint(self._folder, game.steps, generator, sheet)
        files.save_state(self._folder, game, self._images.digest, self._measured, goal=self._clock.budget.steps)
        self._written.append(files.address(path, game.settings, self._images.event_shape))
        self._observer(self._progress(lower))

    def _progress(self, lower: float | None) -> Checkpoint:
        game, seconds, budget = self._game, self._clock.seconds, self._clock.budget
        rate = (game.steps - self._began_at) / max(seconds, 1e-9)
        left = budget.amount - seconds if budget.timed else (budget.amount - game.steps) / max(rate, 1e-9)
        return Checkpoint(
            step=game.steps,
            fraction=self._clock.fraction(game.steps),
            rate=rate,
            seconds_left=max(0.0, left),
            lower=lower,
            compared=self._compared,
            address=self._written[-1],
        )

    def _lower_bound(self, generator: nn.Module) -> float | None:
        """The certain bound for some images and equally many generated ones, in the units of the data."""
        critic = self._game.critic
        if not critic.certified:
            return None
        frozen = critic.network.freeze(self._images.standardisation)
        a = self._images.spread_out(COMPARED)
        with torch.no_grad():
            b = generator(self._latents(len(a), _COMPARED_SIDE)).flatten(1).double()
        bound = certify(frozen).lipschitz_bound
        return lower_bound(evaluate(frozen, a.split(_EVALUATED)), evaluate(frozen, b.split(_EVALUATED)), bound)

    def _latents(self, n: int, side: int) -> Tensor:
        settings = self._game.settings
        return torch.randn(n, settings.latent, generator=random_stream(settings.seed, side, 0))

    def _export(self) -> str:
        """Writes the generator as a program, which takes seconds, and returns its path."""
        path = self._folder / files.EXPORTED
        files.export_generator(path, self._game.averaged(), self._game.settings.latent)
        return str(path)

    def _result(self, exported: str | None, *, interrupted: bool) -> GanResult:
        game, folder, seconds = self._game, self._folder, self._clock.seconds
        return GanResult(
            settings=game.settings,
            folder=folder,
            event_shape=self._images.event_shape,
            steps=game.steps,
            seconds=seconds,
            interrupted=interrupted,
            resumed_at=self._resumed_at,
            generator=files.address(folder / files.FINAL, game.settings, self._images.event_shape),
            exported=exported,
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


def _check_resumable(saved: files.SavedState, folder: Path, limit: Budget, changes: dict[str, Any]) -> None:
    """Refuses to resume with another setting, or if there is nothing left to do."""
    for name, value in asdict(replace(saved.settings, **changes)).items():
        then = getattr(saved.settings, name)
        if name in changes and value != then:
            option = f"--{name.replace('_', '-')}"
            raise UsageError(f"{option} {value} differs from the training's {then}; leave it out, or start in another folder")
    # A training that reached its steps but has no exported program was killed before it could finish.
    complete = saved.steps + (folder / files.EXPORTED).exists()
    if limit.steps is not None and limit.steps < complete:
        raise UsageError(f"-o {folder} has already reached step {saved.steps:,}; ask for more with --steps {2 * saved.steps}")


def _restore(game: Game, saved: files.SavedState, images: Images, folder: Path) -> None:
    if images.digest != saved.digest:
        raise SourceError(
            f"{saved.settings.data} holds other images than those that {folder} was trained on; start in another folder"
        )
    try:
        game.load_(saved.tensors, saved.steps)
    except (KeyError, ValueError) as error:
        raise SourceError(f"{folder / files.STATE} does not fit this training ({error}); start again in another folder") from error
