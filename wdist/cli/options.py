"""Options that several commands share, each declared once: its names, its type and its help."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from wdist.critics.settings import OPTIMIZERS, SCHEDULES, CriticSettings
from wdist.data.access import Access
from wdist.errors import UsageError
from wdist.estimation.options import EstimateOptions

_TRAINING = "Training"
_CRITIC = "Critic (default: chosen from the shape of the data)"
_RESULT = "Result"
_SOURCES = "Sources"
OUTPUT = "Output"

AddressA: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="A", help="First source: a.h5, a.h5:/group/x, x.npz:key, images/, torchvision:MNIST?split=train, ..."),
]
AddressB: TypeAlias = Annotated[str, typer.Argument(metavar="B", help="Second source; it may be of another kind.")]

_LARGEST_SEED = 2**53 - 1
"""Whole numbers up to here survive any reader of the JSON document, and leave room for the seeds that are derived from one."""


def check_seed(seed: int | None) -> int | None:
    """Refuses a seed that random generators cannot take.

    Raises:
        UsageError: it is too large.
    """
    if seed is not None and seed > _LARGEST_SEED:
        raise UsageError(f"--seed {seed} is too large; give a whole number of at most {_LARGEST_SEED}")
    return seed


Seed: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        callback=check_seed,
        rich_help_panel=_TRAINING,
        help="Seed of every random choice: splits, weights, batches, draws.",
    ),
]
Device: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME", rich_help_panel=_TRAINING, help="Where to train: auto, cpu, cuda or cuda:1.")
]
Features: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SPACE",
        rich_help_panel=_SOURCES,
        help="Measure distances between features of both sides: a function of a batch, module:function, or a layer of a "
        "torchvision network, resnet18?weights=FILE&layer=avgpool.",
    ),
]
Download: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--download",
        metavar="",
        rich_help_panel=_SOURCES,
        help="Let torchvision download missing data sets and weights.",
    ),
]
Trust: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--trust",
        metavar="",
        rich_help_panel=_SOURCES,
        help="Run code that comes with a source: factories, functions, TorchScript, torch.export, ONNX.",
    ),
]
Json: TypeAlias = Annotated[
    bool,
    typer.Option("--json", metavar="", rich_help_panel=OUTPUT, help="Print one JSON document instead of text (wdist schema)."),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", rich_help_panel=OUTPUT, help="Also write the JSON document to FILE."),
]
Plot: TypeAlias = Annotated[
    Path | None,
    typer.Option(metavar="FILE", rich_help_panel=OUTPUT, help="Draw the result: .png, .svg or .pdf."),
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option("--quiet", "-q", metavar="", rich_help_panel=OUTPUT, help="Show no progress or notes, only warnings and errors."),
]
Debug: TypeAlias = Annotated[
    bool, typer.Option("--debug", metavar="", rich_help_panel=OUTPUT, help="Show the traceback when something fails.")
]


@dataclass(frozen=True, kw_only=True)
class SourceOptions:
    """Permissions for opening a source."""

    drop_nonfinite: Annotated[
        bool,
        typer.Option(
            "--drop-nonfinite",
            metavar="",
            rich_help_panel=_SOURCES,
            help="Drop rows with NaN or infinity instead of refusing them.",
        ),
    ] = False
    download: Download = False
    trust: Trust = False

    def access(self) -> Access:
        """The same permissions for the library."""
        return Access(trust=self.trust, download=self.download, drop_nonfinite=self.drop_nonfinite)


@dataclass(frozen=True, kw_only=True)
class EstimateFlags:
    """Options of every estimate, as the command line shows them; the library validates them."""

    steps: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            min=1,
            rich_help_panel=_TRAINING,
            help="Steps of the whole command: two thirds train the main critic, the rest the baselines. Default: chosen from the "
            "data.",
        ),
    ] = None
    budget: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            rich_help_panel=_TRAINING,
            help="Time for the whole command, baselines and transport included: 45s, 2m, 1h.",
        ),
    ] = None
    seed: Seed = 0
    device: Device = "auto"
    batch_size: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=_TRAINING, help="Samples of each side in one step.")
    ] = None
    optimizer: Annotated[
        str | None, typer.Option(metavar="NAME", rich_help_panel=_TRAINING, help=f"One of {', '.join(OPTIMIZERS)}.")
    ] = None
    learning_rate: Annotated[
        float | None,
        typer.Option(metavar="X", rich_help_panel=_TRAINING, help="Learning rate of the weights, in the units of the optimizer."),
    ] = None
    schedule: Annotated[
        str | None,
        typer.Option(metavar="NAME", rich_help_panel=_TRAINING, help=f"Decay of the learning rate: {', '.join(SCHEDULES)}."),
    ] = None
    width: Annotated[int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Units of each hidden layer.")] = None
    depth: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Number of linear layers, including the last.")
    ] = None
    activation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_CRITIC,
            help="Activation between the layers: group-sort, maxmin, full-sort, relu, leaky-relu:0.1, abs, maxout, householder, "
            "tanh, sigmoid or identity.",
        ),
    ] = None
    group_size: Annotated[
        int | None,
        typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Units sorted together: 2 is MaxMin, the full width is FullSort."),
    ] = None
    constraint: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_CRITIC,
            help="Constraint on the weights: bjorck, bjorck-unrolled, spectral, parseval, linf, cayley, clip or none.",
        ),
    ] = None
    bjorck_order: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Order of the Björck iterations, 1 to 4.")
    ] = None
    bjorck_iterations: Annotated[
        int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Number of Björck iterations, where they are unrolled.")
    ] = None
    beta: Annotated[
        float | None,
        typer.Option(
            metavar="X",
            rich_help_panel=_CRITIC,
            help="Step size of first-order Björck iterations or of Parseval's retraction, up to 1.",
        ),
    ] = None
    centres: Annotated[int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Number of cones of a cone critic.")] = (
        None
    )
    lipschitz: Annotated[
        float | None,
        typer.Option(metavar="K", rich_help_panel=_CRITIC, help="Lipschitz constant of the critic; bounds are divided by it."),
    ] = None
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME", rich_help_panel=_RESULT, help="Ground metric: l2 (Euclidean), l1 or linf (largest difference)."
        ),
    ] = "l2"
    critic: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            rich_help_panel=_RESULT,
            help="Critic that provides the population bounds: auto (the best of several kinds on a validation split), "
            "groupsort-bjorck, cones, c-transform, mean-difference, ...",
        ),
    ] = "auto"
    confidence: Annotated[
        float,
        typer.Option(
            metavar="P", rich_help_panel=_RESULT, help="Joint confidence of the population bounds, at least 0.5 and below 1."
        ),
    ] = 0.95
    ci: Annotated[
        str,
        typer.Option(
            "--ci",
            metavar="METHOD",
            rich_help_panel=_RESULT,
            help="Confidence bound: welch (asymptotic), empirical-bernstein or betting (both for bounded data and any number of "
            "samples), or auto: betting where the range of the data is known, else welch.",
        ),
    ] = "auto"
    features: Features = None

    def validated(self, access: Access = Access(), **more: Any) -> EstimateOptions:
        """The options of the library.

        Arguments:
            access: permissions for the sources.
            more: options that the command decides.

        Raises:
            UsageError: a value lies outside its range, or two options exclude each other.
        """
        settings = CriticSettings(**{each.name: getattr(self, each.name) for each in fields(CriticSettings)})
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        words = {name: value for name, value in own.items() if not hasattr(settings, name)}
        if "tol" in words:
            words["tolerance"] = words.pop("tol")
        return EstimateOptions.validated(settings=settings, access=access, **{**words, **more})


_CRITICS = typer.Option(
    metavar="WHICH",
    rich_help_panel=_RESULT,
    help="Compare these critics on one split; the one that proves most provides the bounds: default, all, or names with commas.",
)
Critics: TypeAlias = Annotated[str | None, _CRITICS]


@dataclass(frozen=True, kw_only=True)
class ComparedCritics(EstimateFlags):
    """Options of an estimate that shows several critics and seeds."""

    repeats: Annotated[
        int,
        typer.Option(
            metavar="R",
            min=1,
            rich_help_panel=_TRAINING,
            help="Train each critic with R seeds, from --seed on, on one split, and show the spread.",
        ),
    ] = 1
    critics: Critics = None
    baselines: Annotated[
        str,
        typer.Option(
            metavar="WHICH",
            rich_help_panel=_RESULT,
            help="Critics shown beside the main one: none, default, all, or names with commas.",
        ),
    ] = "default"
    tol: Annotated[
        float | None,
        typer.Option(
            "--tol",
            metavar="X",
            rich_help_panel=_RESULT,
            help="Close the gap between the bounds for the two sample sets to this share of the upper one, such as 0.02; exit "
            "status 4 if that fails.",
        ),
    ] = None
