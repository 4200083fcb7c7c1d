"""Table 2: W1 between a generator and its data, by ten critics.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2, section 7.2, appendix H.2.
"""

import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from wdist.critics.catalogue import RECIPES
from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.pairing import Pair, open_pair
from wdist.data.sources.opening import open_source
from wdist.environment import choose_device
from wdist.errors import SourceError, UsageError
from wdist.estimation.evaluation import Statement, run_trial
from wdist.estimation.task import Task
from wdist.gan.settings import GanSettings
from wdist.gan.training import STEPS as GAN_STEPS
from wdist.gan.training import train_gan
from wdist.studies.claim_check import Finding
from wdist.studies.reproduce.experiment import Experiment, Outcome
from wdist.studies.reproduce.forecast import critic_operations
from wdist.studies.reproduce.reproduction import Comparison, Conditions, Curves, Series
from wdist.training.budget import Budget
from wdist.training.observer import Stage

CRITICS = {
    "relu-spectral": "ReLU, spectral",
    "maxout-spectral": "Maxout, spectral",
    "maxmin-spectral": "MaxMin, spectral",
    "groupsort-4-spectral": "GroupSort(4), spectral",
    "groupsort-9-spectral": "GroupSort(9), spectral",
    "relu-bjorck": "ReLU, Björck",
    "maxout-bjorck": "Maxout, Björck",
    "maxmin-bjorck": "MaxMin, Björck",
    "groupsort-4-bjorck": "GroupSort(4), Björck",
    "groupsort-9-bjorck": "GroupSort(9), Björck",
}
"""Name in the catalogue -> the paper's row."""
VALUES = {
    "mnist": (0.95, 1.20, 1.36, 1.64, 1.70, 1.40, 1.95, 2.16, 2.31, 2.31),
    "cifar10": (1.12, 1.40, 1.62, 1.63, 1.41, 1.39, 1.76, 2.08, 2.17, 2.23),
}
"""Table 2: data -> mean of each row."""
SPREADS = {
    "mnist": (0.01, 0.03, 0.07, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01),
    "cifar10": (0.02, 0.01, 0.04, 0.03, 0.04, 0.01, 0.02, 0.02, 0.02, 0.02),
}
"""What stands behind the ± there."""
RATIOS = {"mnist": 2.4, "cifar10": 2.0}
"""GroupSort and Björck over ReLU and spectral normalisation, of the same numbers."""
TITLES = {"mnist": "MNIST", "cifar10": "CIFAR10", "digits": "digits"}
_DATA = {"mnist": "torchvision:MNIST?split=train&root={root}", "cifar10": "torchvision:CIFAR10?split=train&root={root}"}
_GROUPSORT = ("groupsort-4-bjorck", "groupsort-9-bjorck")
_ORDER = ("relu-bjorck", "maxout-bjorck", "maxmin-bjorck", "groupsort-4-bjorck")
"""From the smallest bound to the largest."""
_NOISE = 0.01
"""Share of the larger by which two means may differ before they are said to be in another order."""
_SHARE = 0.8
"""Of the paper's ratio that counts as about as large, since the values depend on the generator."""


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Of all trainings."""

    width: int
    depth: int
    """Linear layers, the last included."""
    steps: int
    batch_size: int
    seeds: int


_FULL = _Sizes(width=720, depth=4, steps=400, batch_size=256, seeds=3)
_QUICK = _Sizes(width=144, depth=4, steps=60, batch_size=128, seeds=2)


def _conduct(conditions: Conditions) -> Outcome:
    sizes = _QUICK if conditions.quick else _FULL
    contests, skipped = _contests(conditions)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    told: dict[str, str] = {}
    with tempfile.TemporaryDirectory(prefix="wdist-") as folder:
        for contest in contests:
            with _opened(contest, conditions, Path(folder)) as (pair, words):
                found[contest.column], told[contest.column] = _measured(pair, sizes, conditions, TITLES[contest.column]), words
    return Outcome(
        settings={**vars(sizes), **{f"{TITLES[column]} generator": words for column, words in told.items()}},
        comparisons=tuple(_comparisons(found)),
        findings=tuple(finding for column, values in found.items() for finding in _findings(column, values)),
        panels=tuple(_panel(column, values) for column, values in found.items()),
        remarks=(
            *skipped,
            'Its "3 layers, 720 neurons wide" are taken as three hidden layers; the paper states neither steps nor how many seeds.',
            "Ours are held-out values of frozen critics divided by their certificates, so each is a lower bound but for noise.",
            "Values depend on the generator, which is another than the paper's; order and ratios are what can be compared.",
        ),
    )


def _columns(conditions: Conditions) -> tuple[str, ...]:
    """What the quick and the full form look at, unless data or generators are named."""
    named = dict.fromkeys([*conditions.generators, *conditions.data])
    for column in named:
        if column not in VALUES:
            raise UsageError(f"table2 has no column {column!r}; write mnist=ADDRESS or cifar10=ADDRESS")
    return tuple(named) or (("digits",) if conditions.quick else tuple(VALUES))


@dataclass(frozen=True, kw_only=True)
class _Contest:
    """A column: data, and the generator to hold against them."""

    column: str
    data: str
    generator: str | None
    """None for one that is trained first."""
    words: str
    """The generator in words."""
    trust: bool


def _contests(conditions: Conditions) -> tuple[list[_Contest], list[str]]:
    """The columns whose data are there, opened once before the long work, and a sentence for each that is left out.

    Raises:
        SourceError: what the user has named cannot be opened, or no data are there.
    """
    contests, skipped = [], []
    for column in _columns(conditions):
        contest = _contest(column, conditions)
        access = _access(contest, conditions)
        try:
            open_source(contest.data, access, seed=conditions.seed)
            if contest.generator is not None:
                open_source(contest.generator, access, seed=conditions.seed)
            contests.append(contest)
        except SourceError as error:
            if column == "digits" or column in conditions.generators or column in conditions.data:
                raise
            skipped.append(f"{TITLES[column]} was left out: {error}.")
    if not contests:
        raise SourceError(f"{skipped[0].removesuffix('.')} (say where data lie with --root DIR or --data mnist=ADDRESS)")
    return contests, skipped


def _contest(column: str, conditions: Conditions) -> _Contest:
    if column == "digits":
        digits, drawer = _samples()
        # It stands beside this very package.
        return _Contest(column=column, data=digits, generator=drawer, words="that of samples/", trust=True)
    data, generator = conditions.data.get(column), conditions.generators.get(column)
    words = f"trained here, {GAN_STEPS} steps against groupsort-conv" if generator is None else generator.partition("?")[0]
    data = data or _DATA[column].format(root=conditions.root)
    return _Contest(column=column, data=data, generator=generator, words=words, trust=conditions.trust)


def _access(contest: _Contest, conditions: Conditions) -> Access:
    return Access(trust=contest.trust, download=conditions.download)


@contextmanager
def _opened(contest: _Contest, conditions: Conditions, folder: Path) -> Iterator[tuple[Pair, str]]:
    """The data and the generator of a column, ready to be compared, and the generator in words."""
    access, device = _access(contest, conditions), choose_device(conditions.device)
    generator = contest.generator or _trained(contest, folder, access, conditions)
    pair = open_pair(contest.data, generator, access=access, seed=conditions.seed, device=device)
    try:
        yield pair, contest.words
    finally:
        pair.close()


def _trained(contest: _Contest, folder: Path, access: Access, conditions: Conditions) -> str:
    """The address of a generator that is trained now; Ctrl-C ends the experiment."""
    conditions.observer.notify(Stage(what=f"training a generator on {TITLES[contest.column]}, {GAN_STEPS} steps"))
    settings = GanSettings(data=contest.data, seed=conditions.seed)
    result = train_gan(folder / contest.column, settings, device=conditions.device, access=access)
    if result.interrupted:
        raise KeyboardInterrupt
    return result.generator


def _samples() -> tuple[str, str]:
    """Addresses of the digits and of the generator in ``samples/`` of the checkout that this package stands in.

    Raises:
        SourceError: it stands in none.
    """
    samples = Path(__file__).resolve().parents[3] / "samples"
    if not (samples / "digits.h5").is_file():
        raise SourceError("the quick form takes its data from samples/ of a checkout; name others with --data and --generator")
    factory = samples / "digit_generator.py"
    return str(
        samples / "digits.h5"
    ), f"{samples / 'digit_generator.safetensors'}?factory={factory}:DigitGenerator&latent=normal:16"


def _measured(pair: Pair, sizes: _Sizes, conditions: Conditions, title: str) -> dict[str, tuple[float, float]]:
    """Critic -> mean and standard deviation of its held-out bound over seeds; nan for that of a single one."""
    settings = CriticSettings(width=sizes.width, depth=sizes.depth, batch_size=sizes.batch_size)
    values: dict[str, tuple[float, float]] = {}
    for position, name in enumerate(CRITICS):
        estimates = []
        for seed in range(conditions.seed, conditions.seed + sizes.seeds):
            task = Task(
                pair=pair,
                settings=settings,
                budget=Budget(steps=sizes.steps),
                seed=seed,
                device=choose_device(conditions.device),
                observer=conditions.observer,
                position=position * sizes.seeds + seed - conditions.seed + 1,
                critics=len(CRITICS) * sizes.seeds,
            )
            result = run_trial(RECIPES[name], task, statement=Statement(confidence=0.95, method="welch", bounds=1))
            if result.interrupted:
                raise KeyboardInterrupt
            estimates.append(result.population.estimate)
        values[name] = (statistics.fmean(estimates), statistics.stdev(estimates) if len(estimates) > 1 else math.nan)
        conditions.observer.notify(Stage(what=f"{title}, {CRITICS[name]}: {values[name][0]:.3f}"))
    return values


def _comparisons(found: Mapping[str, Mapping[str, tuple[float, float]]]) -> Iterator[Comparison]:
    for column, values in found.items():
        for position, (name, (mean, spread)) in enumerate(values.items()):
            paper = VALUES[column][position] if column in VALUES else None
            paper_spread = SPREADS[column][position] if column in VALUES else None
            yield Comparison(row=CRITICS[name], column=TITLES[column], ours=mean, paper=paper)
            if not math.isnan(spread):
                yield Comparison(row=CRITICS[name], column=f"{TITLES[column]}, ±", ours=spread, paper=paper_spread)
        yield Comparison(
            row="GroupSort, Björck / ReLU, spectral", column=TITLES[column], ours=_ratio(values), paper=RATIOS.get(column), unit="x"
        )


def _ratio(values: Mapping[str, tuple[float, float]]) -> float:
    return max(values[name][0] for name in _GROUPSORT) / values["relu-spectral"][0]


def _findings(column: str, values: Mapping[str, tuple[float, float]]) -> Iterator[Finding]:
    title, mean = TITLES[column], {name: value for name, (value, _) in values.items()}
    disordered = [
        f"{CRITICS[worse]} above {CRITICS[better]}"
        for worse, better in pairwise(_ORDER)
        if mean[worse] > mean[better] * (1 + _NOISE)
    ]
    yield Finding(
        claim=f"{title}: behind Björck weights the order is ReLU, Maxout, MaxMin, GroupSort.",
        holds=not disordered,
        detail=", ".join(f"{mean[name]:.3f}" for name in _ORDER) + (f"; {'; '.join(disordered)}" if disordered else ""),
    )
    behind = [name for name in mean if name.endswith("bjorck") and mean[name] < mean[name.replace("bjorck", "spectral")]]
    yield Finding(
        claim=f"{title}: each activation does better behind Björck weights than behind spectral normalisation.",
        holds=not behind,
        detail="all five" if not behind else f"not {', '.join(CRITICS[name] for name in behind)}",
    )
    ratio, paper = _ratio(values), RATIOS.get(column)
    if paper is None:
        yield Finding(
            claim=f"{title}: GroupSort and Björck prove more than ReLU and spectral normalisation (2.4 and 2.0 times there).",
            holds=ratio > 1 + _NOISE,
            detail=f"{ratio:.2f} times",
        )
    else:
        yield Finding(
            claim=f"{title}: GroupSort and Björck prove about {paper} times what ReLU and spectral normalisation prove.",
            holds=ratio >= _SHARE * paper,
            detail=f"{ratio:.2f} times ({_SHARE:.0%} of the paper's ratio would do)",
        )


def _panel(column: str, values: Mapping[str, tuple[float, float]]) -> Curves:
    ticks = tuple(dict.fromkeys(title.rpartition(", ")[0] for title in CRITICS.values()))
    x = tuple(float(position) for position in range(len(ticks)))
    series = []
    for words in ("spectral", "bjorck"):
        chosen = [position for position, name in enumerate(CRITICS) if name.endswith(words)]
        label = CRITICS[f"relu-{words}"].rpartition(", ")[2]
        mean = [mean for mean, _ in values.values()]
        series.append(Series(name=label, x=x, y=tuple(mean[position] for position in chosen)))
        if column in VALUES:
            series.append(
                Series(name=f"{label}, paper", x=x, y=tuple(VALUES[column][position] for position in chosen), dashed=True)
            )
    return Curves(
        title=f"lower bound for W1 between generator and data, {TITLES[column]}",
        x_label="activation",
        ticks=ticks,
        y_label="held-out bound",
        series=tuple(series),
    )


def _operations(quick: bool) -> float:
    sizes, dims = (_QUICK, (64,)) if quick else (_FULL, (784, 3072))
    critics = sum(
        critic_operations(dim=dim, width=sizes.width, depth=sizes.depth, batch=2 * sizes.batch_size, steps=sizes.steps)
        for dim in dims
    )
    # A step of a generator and its critic takes some 1e10 operations; the quick form takes a generator that is there.
    return len(CRITICS) * sizes.seeds * critics + (0.0 if quick else GAN_STEPS * len(dims) * 1e10)


EXPERIMENT = Experiment(
    name="table2",
    title="W1 between generators and their data",
    source="table 2, section 7.2, appendix H.2",
    conduct=_conduct,
    operations=_operations,
    reduced=(
        "the 8x8 digits and the generator of samples/ instead of MNIST and CIFAR-10",
        f"width {_QUICK.width} instead of {_FULL.width}",
        f"{_QUICK.steps} steps instead of {_FULL.steps}",
        f"{_QUICK.seeds} seeds instead of {_FULL.seeds}",
    ),
    takes_generators=True,
)
