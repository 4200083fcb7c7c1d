"""``wdist robust MODEL DATA``: certified and attacked accuracy of a classifier."""

from typing import Annotated

import typer

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs


@opt.expanded
def command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="A classifier saved by wdist: c.safetensors; or a network: w.pt?factory=module:Class."
        ),
    ],
    data: Annotated[str, typer.Argument(metavar="DATA", help="Labelled samples: torchvision:MNIST?split=test, images.h5, ...")],
    *,
    eps: Annotated[float, typer.Option(metavar="X", help="Largest size of a perturbation, in the units of the data.")],
    norm: Annotated[str, typer.Option(metavar="NAME", help="Norm of a perturbation: l2 or linf (largest change).")] = "l2",
    min: Annotated[
        float | None,
        typer.Option(
            metavar="ACCURACY",
            help="Required accuracy, such as 0.9: pass if it is certified, fail if the attack leaves less, else inconclusive.",
        ),
    ] = None,
    labels: Annotated[
        str | None,
        opt.option("Sources", "ADDRESS", "Class numbers. Default: those of the dataset, or of the array labels in the same file."),
    ] = None,
    sources: opt.SourceOptions,
    iterations: Annotated[int, opt.option("Attack", "N", "Steps of the attack from each start; 0 for no attack.", min=0)] = 200,
    restarts: Annotated[int, opt.option("Attack", "N", "Number of random starts of the attack.", min=1)] = 2,
    seed: Annotated[int, opt.option("Attack", "N", "Seed of the random starts.", min=0, callback=opt.check_seed)] = 0,
    device: Annotated[str, opt.option("Attack", "NAME", "Where to attack: auto, cpu, cuda or cuda:1.")] = "auto",
    outputs: Annotated[Outputs, OutputOptions("robust")],
) -> int:
    """Certify how many samples a classifier gets right under every perturbation of a given size, and attack the others.

    The error under the worst perturbations lies between the attacked and the certified error. With --min the exit status is 0
    for pass, 1 for fail and 3 for inconclusive.

    Example: wdist robust classifier.safetensors 'torchvision:MNIST?split=test' --eps 0.1 --norm linf --min 0.8
    """
    outputs.check(sources=[model, data], inputs=filter(None, [labels]))
    from wdist.robustness.robust import RobustOptions, run_robust

    options = RobustOptions(
        eps=eps,
        norm=norm,
        minimum=min,
        iterations=iterations,
        restarts=restarts,
        seed=seed,
        device=device,
        access=sources.access(),
    )
    with outputs.observer() as observer:
        found = run_robust(model, data, labels, options=options, observer=observer)
    return outputs.deliver(found, status=found.exit_status, if_interrupted="the attack is incomplete, but all numbers hold")
