"""Options that several commands share, each declared once, and groups of options that a command takes as one object."""

from __future__ import annotations

import inspect
import re
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from functools import wraps
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

import typer

from wdist.critics.settings import OPTIMIZERS, SCHEDULES, CriticSettings
from wdist.data.access import REFUSE, Access
from wdist.distributed.job import launched, rank, restarted
from wdist.distributed.processes import world_size
from wdist.errors import UsageError
from wdist.estimation.options import LARGEST_SEED, EstimateOptions
from wdist.interruption import Terminated

_TRAINING = "Training"
_CRITIC = "Critic (default: chosen from the shape of the data)"
_RESULT = "Result"
_SOURCES = "Sources"
OUTPUT, LONG = "Output", "Long runs"


def option(panel: str | None, metavar: str, help: str, *names: str, **more: Any) -> Any:
    """Declares an option in a panel of the help, ``None`` being the first; a switch has an empty ``metavar``."""
    return typer.Option(*names, metavar=metavar, rich_help_panel=panel, help=help, **more)


def argument(metavar: str, help: str) -> Any:
    """Declares an argument."""
    return typer.Argument(metavar=metavar, help=help)


def flag(panel: str | None, metavar: str, help: str, *names: str, default: Any = None, **more: Any) -> Any:
    """Declares an option that is a field of a group."""
    return field(default=default, metadata={"option": option(panel, metavar, help, *names, **more)})


def expanded(command: Callable[..., int]) -> Callable[..., int]:
    """Replaces each parameter of a command that stands for a group of options by those options.

    Shared options are thus declared once, with their defaults, and arrive together; a group checks its values before the command
    begins.

    Arguments:
        command: annotated with dataclasses, whose fields are options, or with ``Annotated[Class, group]``, where
            ``group.parameters()`` are the options and ``group.made(**values)`` is the object.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, tuple[list[inspect.Parameter], Callable[..., Any]]] = {}
    parameters: list[inspect.Parameter] = []
    for name, parameter in signature.parameters.items():
        annotation = parameter.annotation
        marks = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
        group = next((each for each in marks if hasattr(each, "parameters") and hasattr(each, "made")), None)
        if is_dataclass(annotation):
            groups[name] = _fields_as_options(annotation), annotation  # type: ignore[assignment]
        elif group is not None:
            groups[name] = group.parameters(), group.made
        else:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        parameters += groups[name][0]

    @wraps(command)
    def with_options(**values: Any) -> int:
        made = {name: make(**{each.name: values.pop(each.name) for each in options}) for name, (options, make) in groups.items()}
        return command(**values, **made)

    # The help keeps the lines of all paragraphs but the first.
    with_options.__doc__ = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or "")
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_options


def _fields_as_options(group: Any) -> list[inspect.Parameter]:
    """Options of a dataclass, each declared in the annotation of a field or in its metadata."""
    hints, options = get_type_hints(group, include_extras=True), []
    for each in fields(group):
        default = inspect.Parameter.empty if each.default is MISSING else each.default
        hint = Annotated[hints[each.name], each.metadata["option"]] if each.metadata else hints[each.name]
        options.append(inspect.Parameter(each.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint))
    return options


AddressA: TypeAlias = Annotated[
    str, argument("A", "First source: a.h5, a.h5:/group/x, x.npz:key, images/, torchvision:MNIST?split=train, ...")
]
AddressB: TypeAlias = Annotated[str, argument("B", "Second source, of the same or another kind.")]


def check_seed(seed: int | None) -> int | None:
    """Refuses a seed that random generators cannot take."""
    if seed is not None and seed > LARGEST_SEED:
        raise UsageError(f"--seed {seed} is too large; give a whole number of at most {LARGEST_SEED}")
    return seed


Seed: TypeAlias = Annotated[
    int, option(_TRAINING, "N", "Seed of every random choice: splits, weights, batches, draws.", min=0, callback=check_seed)
]
Device: TypeAlias = Annotated[str, option(_TRAINING, "NAME", "Where to train: auto, cpu, cuda or cuda:1.")]
Features: TypeAlias = Annotated[
    str | None,
    option(
        _SOURCES,
        "SPACE",
        "Measure distances between features of both sides: a function of a batch (module:function) or a layer of "
        "a torchvision network (resnet18?weights=FILE&layer=avgpool).",
    ),
]
Download: TypeAlias = Annotated[
    bool, option(_SOURCES, "", "Download missing torchvision data sets and weights, and remote files.", "--download")
]
Trust: TypeAlias = Annotated[
    bool,
    option(_SOURCES, "", "Run code that comes with a source: factories, functions, TorchScript, torch.export, ONNX.", "--trust"),
]


Shard: TypeAlias = Annotated[
    str | None,
    option(None, "I/N", "Compute only part I of N, for example one on each machine; wdist merge joins the documents.", "--shard"),
]


@dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """Options for saving the state of a long run."""

    checkpoint: Path | None = flag(
        LONG, "DIR", "Save the state of the run in DIR every minute and at SIGTERM, so that --resume can continue it."
    )
    resume: bool = flag(LONG, "", "Continue the run in DIR, with the same data and options.", "--resume", default=False)

    @contextmanager
    def kept(self, command: str, *options: Any, **others: Any) -> Iterator[None]:
        """Saves the state of the work in this context; a resumed run must have the same ``options`` and ``others``."""
        if self.checkpoint is None and not self.resume:
            yield
            return
        from wdist.checkpoints.folder import kept
        from wdist.checkpoints.manifest import MANIFEST, settings_of
        from wdist.cli.console import warn

        folder, resume = self.checkpoint, self.resume
        if folder is not None and launched():  # each process keeps its own state
            folder = folder / f"process-{rank()}-of-{world_size()}"
            resume = (resume or restarted()) and (folder / MANIFEST).is_file()
        settings = {name: value for each in options for name, value in settings_of(each).items()} | others
        with (
            _sigterm_ends_the_run(),
            kept(folder, resume=resume, command=command, settings=settings, warn=lambda sentence: warn([sentence])),
        ):
            yield


@contextmanager
def _sigterm_ends_the_run() -> Iterator[None]:
    """Makes SIGTERM end the whole run, which can be resumed; Ctrl-C ends only its training."""

    def end(number: int, frame: FrameType | None) -> None:
        raise Terminated

    if threading.current_thread() is not threading.main_thread():  # only the main thread receives signals
        yield
        return
    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


Json: TypeAlias = Annotated[bool, option(OUTPUT, "", "Print one JSON document instead of text (wdist schema).", "--json")]
Quiet: TypeAlias = Annotated[bool, option(OUTPUT, "", "Show no progress or notes, only warnings and errors.", "--quiet", "-q")]
Debug: TypeAlias = Annotated[bool, option(OUTPUT, "", "Show the traceback when something fails.", "--debug")]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Permissions for opening a source."""

    drop_nonfinite: bool = flag(
        _SOURCES, "", "Drop rows with NaN or infinity instead of refusing them.", "--drop-nonfinite", default=False
    )
    download: Download = False
    trust: Trust = False

    def access(self) -> Access:
        """The permissions as an object of the library."""
        return Access(trust=self.trust, download=self.download, drop_nonfinite=self.drop_nonfinite)


@dataclass(frozen=True, kw_only=True)
class TableOptions(SourceOptions):
    """Permissions for opening two sources, and how table rows become samples."""

    missing: str = flag(
        _SOURCES,
        "HOW",
        "Missing values in tables: refuse, drop (omit their rows) or level (treat them as a value of their own).",
        default=REFUSE,
    )
    scale: str = flag(
        _SOURCES,
        "HOW",
        "Unit of each table column: none, std, iqr, mad or range (over training rows of A), or a file of lengths.",
        default="none",
    )

    feature_cache: Path | None = flag(
        _SOURCES, "DIR", "Cache the features of a torchvision network in this folder, and reuse those of earlier runs."
    )
    no_cache: bool = flag(
        _SOURCES, "", "Recompute the digests of large files, even if the files have not changed.", "--no-cache", default=False
    )

    def access(self) -> Access:
        """The permissions and table settings as an object of the library."""
        return replace(
            super().access(), missing=self.missing, scale=self.scale, cache=not self.no_cache, feature_cache=self.feature_cache
        )


@dataclass(frozen=True, kw_only=True)
class ScaledTableOptions(TableOptions):
    """Table options of commands that measure each column in its standard deviations by default."""

    scale: str = flag(
        _SOURCES,
        "HOW",
        "Unit of each column: none, std, iqr, mad or range (over training rows of the first table), or a file of lengths.",
        default="std",
    )


@dataclass(frozen=True, kw_only=True)
class EstimateFlags:
    """Options of every estimate; the library validates them."""

    steps: int | None = flag(_TRAINING, "N", "Training steps of the whole command. Default: chosen from the data.", min=1)
    budget: str | None = flag(_TRAINING, "TIME", "Time for the whole command, transport included: 45s, 2m, 1h.")
    seed: Seed = 0
    device: Device = "auto"
    batch_size: int | None = flag(_TRAINING, "N", "Samples of each side in one step.")
    optimizer: str | None = flag(_TRAINING, "NAME", f"One of {', '.join(OPTIMIZERS)}.")
    learning_rate: float | None = flag(_TRAINING, "X", "Learning rate of the weights, in the units of the optimizer.")
    schedule: str | None = flag(_TRAINING, "NAME", f"Decay of the learning rate: {', '.join(SCHEDULES)}.")
    width: int | None = flag(_CRITIC, "N", "Units of each hidden layer.")
    depth: int | None = flag(_CRITIC, "N", "Number of linear layers, including the last.")
    activation: str | None = flag(
        _CRITIC,
        "NAME",
        "Activation between the layers: group-sort, maxmin, full-sort, relu, leaky-relu:0.1, abs, maxout, "
        "householder, tanh, sigmoid or identity.",
    )
    group_size: int | None = flag(_CRITIC, "N", "Units sorted together: 2 is MaxMin, the full width is FullSort.")
    constraint: str | None = flag(
        _CRITIC, "NAME", "Constraint on the weights: bjorck, bjorck-unrolled, spectral, parseval, linf, cayley, clip or none."
    )
    bjorck_order: int | None = flag(_CRITIC, "N", "Order of the Björck iterations, 1 to 4.")
    bjorck_iterations: int | None = flag(_CRITIC, "N", "Number of unrolled Björck iterations.")
    beta: float | None = flag(_CRITIC, "X", "Step size of first-order Björck iterations or of Parseval's retraction, up to 1.")
    centres: int | None = flag(_CRITIC, "N", "Number of cones of a cone critic.")
    lipschitz: float | None = flag(_CRITIC, "K", "Lipschitz constant of the critic; bounds are divided by it.")
    folds: int | None = flag(
        _RESULT,
        "K",
        "Cross-fitting: hold each of K folds out from one training, so that the lower bound for the populations rests on "
        "every sample; 1 holds out a sixth once. Default: 5 for up to 2,000 samples if no budget is given.",
    )
    blocks: int | None = flag(
        _RESULT,
        "M",
        "Also bound the mean W1 between M samples of each side; 0 to omit it. Default: chosen from the data.",
        min=0,
    )
    metric: str = flag(_RESULT, "NAME", "Ground metric: l2 (Euclidean), l1 or linf (largest difference).", default="l2")
    critic: str = flag(
        _RESULT,
        "NAME",
        "Critic that provides the population bounds: auto (the best of several kinds on a validation split), "
        "groupsort-bjorck, cones, c-transform, mean-difference, ...",
        default="auto",
    )
    confidence: float = flag(_RESULT, "P", "Joint confidence of the population bounds, at least 0.5 and below 1.", default=0.95)
    ci: str = flag(
        _RESULT,
        "METHOD",
        "Confidence bound: welch (asymptotic), empirical-bernstein or betting (both for bounded data and any "
        "number of samples), or auto: betting if the range of the data is known, else welch.",
        "--ci",
        default="auto",
    )
    draws: int | None = flag(
        _SOURCES, "N", "Number of samples to draw from a generator or a built-in distribution. Default: 20,000.", min=100
    )
    features: Features = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Addresses that are read besides the sources."""
        return () if self.features is None else (self.features,)

    def validated(self, access: Access = Access(), **more: Any) -> EstimateOptions:
        """The options as an object of the library, with those that the command decides (``more``); raises UsageError."""
        settings = CriticSettings(**{each.name: getattr(self, each.name) for each in fields(CriticSettings)})
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        words = {name: value for name, value in own.items() if not hasattr(settings, name)}
        if "tol" in words:
            words["tolerance"] = words.pop("tol")
        return EstimateOptions.validated(settings=settings, access=access, **{**words, **more})


Critics: TypeAlias = Annotated[
    str | None,
    option(
        _RESULT,
        "WHICH",
        "Compare these critics on one split; the one that proves most provides the bounds: default, all, or comma-separated names.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class ComparedCritics(EstimateFlags):
    """Options of an estimate with several critics and seeds."""

    steps: int | None = flag(
        _TRAINING,
        "N",
        "Steps of the whole command: two thirds train the main critic, the rest the baselines. Default: chosen from the data.",
        min=1,
    )
    budget: str | None = flag(_TRAINING, "TIME", "Time for the whole command, baselines and transport included: 45s, 2m, 1h.")
    repeats: int = flag(
        _TRAINING, "R", "Train each critic with R seeds, starting at --seed, on one split, and show the spread.", min=1, default=1
    )
    critics: Critics = None
    baselines: str = flag(
        _RESULT, "WHICH", "Critics shown beside the main one: none, default, all, or comma-separated names.", default="default"
    )
    divergence: str | None = flag(
        _RESULT, "NAME", "Also bound a divergence with a Lipschitz critic, in nats: kl (Kullback-Leibler, of A from B)."
    )
    lambda_: float | None = flag(
        _RESULT, "X", "Largest slope of a potential of --divergence, in nats per unit of distance.", "--lambda"
    )
    tol: float | None = flag(
        _RESULT,
        "X",
        "Close the gap between the bounds for the two sample sets to this fraction of the upper one, such as 0.02; "
        "exit status 4 if that fails.",
        "--tol",
    )
