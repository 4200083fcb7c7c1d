"""Options that several commands share, each declared once: its names, its type and its help."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from wdist.critics.settings import OPTIMIZERS, SCHEDULES
from wdist.errors import UsageError

_TRAINING = "Training"
_CRITIC = "Critic (default: chosen from the shape of the data)"
_RESULT = "Result"
_SOURCES = "Sources"
_OUTPUT = "Output"

AddressA: TypeAlias = Annotated[
    str,
    typer.Argument(metavar="A", help="First source: a.h5, a.h5:/group/x, x.npz:key, images/, torchvision:MNIST?split=train, ..."),
]
AddressB: TypeAlias = Annotated[str, typer.Argument(metavar="B", help="Second source; it may be of another kind.")]

Steps: TypeAlias = Annotated[
    int | None,
    typer.Option(
        metavar="N", min=1, rich_help_panel=_TRAINING, help="Train each critic for N steps. Default: chosen from the data."
    ),
]
BudgetOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--budget", metavar="TIME", rich_help_panel=_TRAINING, help="Train each critic for this long instead: 45s, 2m, 1h."
    ),
]
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
        help="Of every random choice: splits, weights, batches, draws.",
    ),
]
Repeats: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="R",
        min=1,
        rich_help_panel=_TRAINING,
        help="Train with R seeds, the first being --seed, on one split, and show how far results differ.",
    ),
]
Device: TypeAlias = Annotated[
    str, typer.Option(metavar="NAME", rich_help_panel=_TRAINING, help="Where to train: auto, cpu, cuda or cuda:1.")
]
BatchSize: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_TRAINING, help="Samples of each side in one step.")
]
Optimizer: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", rich_help_panel=_TRAINING, help=f"One of {', '.join(OPTIMIZERS)}.")
]
LearningRate: TypeAlias = Annotated[
    float | None, typer.Option(metavar="X", rich_help_panel=_TRAINING, help="Of the weights, in the optimiser's own units.")
]
Schedule: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="NAME", rich_help_panel=_TRAINING, help=f"How the learning rate falls: {', '.join(SCHEDULES)}."),
]

Width: TypeAlias = Annotated[int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Units of each hidden layer.")]
Depth: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Number of linear layers, the last included.")
]
Activation: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_CRITIC,
        help="Between the layers: group-sort, maxmin, full-sort, relu, leaky-relu:0.1, abs, maxout, householder, tanh, sigmoid "
        "or identity.",
    ),
]
GroupSize: TypeAlias = Annotated[
    int | None,
    typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Units sorted together: 2 is MaxMin, the width is FullSort."),
]
Constraint: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_CRITIC,
        help="Of the weights: bjorck, bjorck-unrolled, spectral, parseval, linf, cayley, clip or none.",
    ),
]
BjorckOrder: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="Order of the Björck iterations, 1 to 4.")
]
BjorckIterations: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="How many Björck iterations, where they are unrolled.")
]
Beta: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="X", rich_help_panel=_CRITIC, help="Their step, or that of Parseval's retraction, up to 1."),
]
Centres: TypeAlias = Annotated[
    int | None, typer.Option(metavar="N", rich_help_panel=_CRITIC, help="How many cones a cone critic has.")
]
Lipschitz: TypeAlias = Annotated[
    float | None,
    typer.Option(metavar="K", rich_help_panel=_CRITIC, help="Lipschitz constant of the critic; bounds are divided by it."),
]

Metric: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME", rich_help_panel=_RESULT, help="By which samples are apart: l2 (Euclidean), l1 or linf (largest difference)."
    ),
]
Critic: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        rich_help_panel=_RESULT,
        help="Which critic makes the bounds: auto (the best of several kinds by a validation split), groupsort-bjorck, cones, "
        "c-transform, mean-difference, ...",
    ),
]
Critics: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        rich_help_panel=_RESULT,
        help="Compare critics on one split and one budget, and let the best make the bounds: default, all, or names with commas.",
    ),
]
Baselines: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="WHICH",
        rich_help_panel=_RESULT,
        help="Other critics trained on the same budget, for comparison: none, default, all, or names with commas.",
    ),
]
Confidence: TypeAlias = Annotated[
    float, typer.Option(metavar="P", rich_help_panel=_RESULT, help="Of the bounds for the distributions, from 0.5 to below 1.")
]
ConfidenceMethod: TypeAlias = Annotated[
    str,
    typer.Option(
        "--ci",
        metavar="METHOD",
        rich_help_panel=_RESULT,
        help="welch (asymptotic), empirical-bernstein or betting (both for any number of samples of bounded data), or auto: "
        "betting where the range of the data is known, else welch.",
    ),
]
Tolerance: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--tol",
        metavar="X",
        rich_help_panel=_RESULT,
        help="Close the interval between the two sample sets to this share of its upper end, such as 0.02; exit status 4 if that "
        "fails.",
    ),
]

Features: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="SPACE",
        rich_help_panel=_SOURCES,
        help="Map both sides to features first, so that distances are between those: a function of a batch, module:function, or a "
        "layer of a torchvision network, resnet18?weights=FILE&layer=avgpool.",
    ),
]

DropNonfinite: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--drop-nonfinite",
        metavar="",
        rich_help_panel=_SOURCES,
        help="Leave out rows with NaN or infinity instead of refusing them.",
    ),
]
Download: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--download",
        metavar="",
        rich_help_panel=_SOURCES,
        help="Let torchvision fetch what is missing: datasets, weights of features.",
    ),
]
Trust: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--trust",
        metavar="",
        rich_help_panel=_SOURCES,
        help="Let code that comes with a source run: factories, functions, TorchScript, torch.export, ONNX.",
    ),
]

Json: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--json", metavar="", rich_help_panel=_OUTPUT, help="Print one JSON document instead of text (its schema: wdist schema)."
    ),
]
Output: TypeAlias = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", rich_help_panel=_OUTPUT, help="Write the JSON document to FILE as well."),
]
Plot: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_OUTPUT,
        help="Draw the critics in one or two dimensions, learning curves otherwise, and a comparison as bars: .png, .svg or .pdf.",
    ),
]
SaveCritic: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        rich_help_panel=_OUTPUT,
        help="Save the certified critic as .safetensors, for wdist verify.",
    ),
]
Quiet: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", metavar="", rich_help_panel=_OUTPUT, help="No progress and no notes on stderr; warnings and errors stay."
    ),
]
Debug: TypeAlias = Annotated[
    bool, typer.Option("--debug", metavar="", rich_help_panel=_OUTPUT, help="Show the traceback when something fails.")
]
