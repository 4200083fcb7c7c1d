"""Number of folds that the samples are divided into."""

from wdist.bounds.confidence import resolve
from wdist.data.measure import LEAST_IN_FOLD
from wdist.data.pairing import Pair
from wdist.data.sources.source import SourceInfo
from wdist.errors import UsageError
from wdist.estimation.evaluation import averages_folds, diameters
from wdist.estimation.options import EstimateOptions
from wdist.ground_metric import ground_metric

DEFAULT_FOLDS = 5
_BY_DEFAULT = ("estimate", "gate", "compare")
"""Commands that divide few samples into folds by default."""
_MOST_DIVIDED = 2_000
"""Most samples of a side for which folds are worth twice the time: of more, a sixth says enough."""


def number_of_folds(pair: Pair, options: EstimateOptions, command: str) -> int | None:
    """The number of folds, of which each is held out once; None where one part of the samples is.

    Raises:
        UsageError: several folds were asked for, and the samples cannot be divided.
    """
    if options.folds is not None:
        if options.divided and (reason := _indivisible(options.folds, pair)):
            raise UsageError(reason)
        return options.folds if options.divided else None
    wanted = command in _BY_DEFAULT and folds_pay(options, pair.a.info, pair.b.info)
    return DEFAULT_FOLDS if wanted and not _indivisible(DEFAULT_FOLDS, pair) else None


def folds_pay(options: EstimateOptions, a: SourceInfo, b: SourceInfo) -> bool:
    """Whether folds are worth their time where the options leave them open: few samples, and one bound from all folds."""
    counts = [side.count for side in (a, b) if side.count is not None]
    left_open = options.budget is None and options.critics is None and options.repeats == 1 and options.divergence is None
    few = bool(counts) and DEFAULT_FOLDS * LEAST_IN_FOLD <= min(counts) <= _MOST_DIVIDED
    return left_open and few and averages_folds(resolve(options.ci, diameters(a, b, ground_metric(options.metric))))


def _indivisible(folds: int, pair: Pair) -> str | None:
    """Why the samples cannot be divided into folds, and what to do; None where they can."""
    if pair.a.endless is not None and pair.b.endless is not None:
        return "--folds needs stored samples, and both sides are drawn without end; leave it out, and hold out more with --draws N"
    if not pair.divisible:
        return "--folds needs samples that fit into memory, and one side is streamed; leave it out: a sixth of so many is enough"
    if pair.a.info.fitted:
        return (
            "--folds holds every sample out in turn, and the units of the columns are fitted to training samples; leave it out, or "
            "state lengths with --scale FILE and leave out rows with missing values"
        )
    fewest, needed = min(side.everything.count for side in (pair.a, pair.b)), folds * LEAST_IN_FOLD
    if fewest < needed:
        return f"--folds {folds} needs at least {needed} samples of each side, not {fewest}; give fewer folds"
    return None
