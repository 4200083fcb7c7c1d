"""``wdist estimate A B``."""

from wdist.cli import options as opt


def command(
    a: opt.AddressA,
    b: opt.AddressB,
    steps: opt.Steps = None,
    budget: opt.BudgetOption = None,
    seed: opt.Seed = 0,
    device: opt.Device = "auto",
    batch_size: opt.BatchSize = None,
    optimizer: opt.Optimizer = None,
    learning_rate: opt.LearningRate = None,
    schedule: opt.Schedule = None,
    width: opt.Width = None,
    depth: opt.Depth = None,
    group_size: opt.GroupSize = None,
    bjorck_order: opt.BjorckOrder = None,
    lipschitz: opt.Lipschitz = None,
    baselines: opt.Baselines = "default",
    confidence: opt.Confidence = 0.95,
    ci: opt.ConfidenceMethod = "welch",
    drop_nonfinite: opt.DropNonfinite = False,
    download: opt.Download = False,
    trust: opt.Trust = False,
    json: opt.Json = False,
    output: opt.Output = None,
    plot: opt.Plot = None,
    save_critic: opt.SaveCritic = None,
    quiet: opt.Quiet = False,
    debug: opt.Debug = False,
) -> int:
    """Bound W1 between two sample sets, and between what they were drawn from.

    Example: wdist estimate a.h5 b.h5 --budget 1m -o result.json --plot result.png
    """
    from wdist.cli.console import notes_console
    from wdist.cli.delivery import Delivery
    from wdist.cli.request import checked_budget, checked_confidence, named_baselines
    from wdist.critics.settings import CriticSettings
    from wdist.report.progress import display_on
    from wdist.training.observer import Stage

    delivery = Delivery(json=json, output=output, plot=plot, save_critic=save_critic, quiet=quiet)
    delivery.check(inputs=(a, b))
    limit = checked_budget(steps, budget)
    others = named_baselines(baselines)
    level = checked_confidence(confidence)
    settings = CriticSettings(
        width=width,
        depth=depth,
        group_size=group_size,
        batch_size=batch_size,
        optimizer=optimizer,
        learning_rate=learning_rate,
        schedule=schedule,
        bjorck_order=bjorck_order,
        lipschitz=lipschitz,
    )
    with display_on(notes_console(), quiet=quiet) as observer:
        observer.notify(Stage(what="opening the sources"))
        from wdist.estimation import estimate
        from wdist.sources.source import Access

        result = estimate(
            a,
            b,
            settings=settings,
            budget=limit,
            baselines=others,
            confidence=level,
            ci=ci,
            seed=seed,
            device=device,
            access=Access(trust=trust, download=download, drop_nonfinite=drop_nonfinite, seed=seed),
            observer=observer,
        )
    return delivery.deliver(result)
