"""``wdist estimate A B``."""

from wdist.cli import options as opt
from wdist.cli.delivery import Delivery
from wdist.cli.expansion import expanded
from wdist.cli.request import Request, SourceOptions


@expanded
def command(a: opt.AddressA, b: opt.AddressB, request: Request, sources: SourceOptions, delivery: Delivery) -> int:
    """Bound W1 between two sample sets, and between what they were drawn from.

    Example: wdist estimate a.h5 b.h5 --budget 1m -o result.json --plot result.png
    """
    from wdist.cli.console import notes_console
    from wdist.report.terminal.progress import display_on
    from wdist.training.observer import Stage

    delivery.check(inputs=(a, b))
    with display_on(notes_console(), quiet=delivery.quiet) as observer:
        observer.notify(Stage(what="opening the sources"))
        result = request.estimate(a, b, access=sources.access(), observer=observer)
    return delivery.deliver(result)
