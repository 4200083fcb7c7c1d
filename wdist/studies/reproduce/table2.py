"""Table 2: W1 between a generator and its data, by ten critics.

References:
    Anil, Lucas & Grosse (2019), Sorting out Lipschitz function approximation, table 2, section 7.2, appendix H.2.
"""

import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

from wdist.critics.settings import CriticSettings
from wdist.data.access import Access
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError, UsageError
from wdist.gan.settings import GanSettings
from wdist.gan.training import STEPS as GAN_STEPS
from wdist.gan.training import train_gan
from wdist.studies.machine import critic_operations
from wdist.studies.panels import Panel, curves
from wdist.studies.progress import SuiteProgress, complete
from wdist.studies.reproduce.image_sets import TITLES, address_of, available
from wdist.studies.study import ClaimCheck, Conclusion, Conditions, ReproducedNumber, Study, percent

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
"""Name in the catalogue -> row of the paper."""
VALUES = {
    "mnist": (0.95, 1.20, 1.36, 1.64, 1.70, 1.40, 1.95, 2.16, 2.31, 2.31),
    "cifar10": (1.12, 1.40, 1.62, 1.63, 1.41, 1.39, 1.76, 2.08, 2.17, 2.23),
}
"""Table 2: data -> mean of each row."""
SPREADS = {
    "mnist": (0.01, 0.03, 0.07, 0.02, 0.02, 0.01, 0.01, 0.01, 0.01, 0.01),
    "cifar10": (0.02, 0.01, 0.04, 0.03, 0.04, 0.01, 0.02, 0.02, 0.02, 0.02),
}
"""Table 2: data -> the number after the ± of each row."""
RATIOS = {"mnist": 2.4, "cifar10": 2.0}
"""Table 2: data -> bound of GroupSort with Björck over that of ReLU with spectral normalisation."""
_GROUPSORT = ("groupsort-4-bjorck", "groupsort-9-bjorck")
_ORDER = ("relu-bjorck", "maxout-bjorck", "maxmin-bjorck", "groupsort-4-bjorck")  # from the smallest bound to the largest
_NOISE = 0.01  # smallest relative difference of two means that counts
_SHARE = 0.8  # ratios of at least this share of the paper's count as about as large, because values depend on the generator


Values = Mapping[str, tuple[float, float]]
"""Critic -> mean and standard deviation of its held-out bound over seeds; the deviation for a single seed is nan."""


@dataclass(frozen=True, kw_only=True)
class _Sizes:
    """Sizes of all trainings."""

    width: int
    depth: int
    """Number of linear layers, including the last."""
    steps: int
    batch_size: int
    seeds: int


_FULL = _Sizes(width=720, depth=4, steps=400, batch_size=256, seeds=3)
_QUICK = _Sizes(width=144, depth=4, steps=60, batch_size=128, seeds=2)


@dataclass(frozen=True, kw_only=True)
class _Contest:
    """A column: data, and the generator to compare with them."""

    column: str
    data: str
    generator: str | None
    """Address of the generator; None to train one first."""
    words: str
    """Description of the generator."""
    access: Access


def _measure(conditions: Conditions) -> Iterator[ReproducedNumber | Conclusion]:
    sizes = _QUICK if conditions.quick else _FULL
    named = tuple(dict.fromkeys([*conditions.generators, *conditions.sources]))
    columns = named or (("digits",) if conditions.quick else tuple(VALUES))
    contests, skipped = available(columns, partial(_contest, conditions=conditions), required=(*named, "digits"))
    progress = SuiteProgress(conditions, runs=len(contests) * len(CRITICS) * sizes.seeds)
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for contest in contests:
        values = found[contest.column] = {}
        with tempfile.TemporaryDirectory(prefix="wdist-") as folder:
            generator = contest.generator or _trained(contest, Path(folder), conditions)
            for name in CRITICS:
                values[name] = _bound(name, contest, generator, sizes, conditions, progress)
                yield from _rows(contest.column, name, *values[name])
        column, ratio = contest.column, _ratio(values)
        row = "GroupSort, Björck / ReLU, spectral"
        yield ReproducedNumber(row=row, column=TITLES[column], ours=ratio, paper=RATIOS.get(column), unit="x")
    yield Conclusion(
        settings={**vars(sizes), **{f"{TITLES[contest.column]} generator": contest.words for contest in contests}},
        checks=tuple(check for column, values in found.items() for check in _checks(column, values)),
        panels=tuple(_panel(column, values) for column, values in found.items()),
        remarks=(
            *skipped,
            '"3 layers, 720 neurons wide" is read as three hidden layers; the paper states neither steps nor number of seeds.',
            "Ours are held-out values of frozen critics divided by their certificates, so each is a lower bound up to noise.",
            "Values depend on the generator, and the paper's is not available; compare order and ratios.",
        ),
    )


def _contest(column: str, conditions: Conditions) -> _Contest:
    """A column whose sources were opened once, so that missing ones are found before the long work."""
    contest = _described(column, conditions)
    for address in filter(None, (contest.data, contest.generator)):
        open_source(address, contest.access, seed=conditions.seed)
    return contest


def _described(column: str, conditions: Conditions) -> _Contest:
    if column == "digits":
        data, drawer = _samples()
        access = Access(trust=True, download=conditions.download)  # the code is part of this checkout
        return _Contest(column=column, data=data, generator=drawer, words="from samples/", access=access)
    if column not in VALUES:
        raise UsageError(f"table2 has no column {column!r}; write mnist=ADDRESS or cifar10=ADDRESS")
    generator = conditions.generators.get(column)
    return _Contest(
        column=column,
        data=address_of(column, conditions),
        generator=generator,
        words=generator.partition("?")[0] if generator else f"trained here, {GAN_STEPS} steps against groupsort-conv",
        access=Access(trust=conditions.trust, download=conditions.download),
    )


def _trained(contest: _Contest, folder: Path, conditions: Conditions) -> str:
    """Trains a generator, and returns its address."""
    conditions.announce(f"training a generator on {TITLES[contest.column]}, {GAN_STEPS} steps")
    settings = GanSettings(data=contest.data, seed=conditions.seed)
    result = complete(train_gan(folder / contest.column, settings, device=conditions.device, access=contest.access))
    assert result.generator is not None, "a complete training leaves a generator"
    return result.generator


def _samples() -> tuple[str, str]:
    """Addresses of the digits and of the generator in ``samples/`` of this checkout."""
    samples = Path(__file__).resolve().parents[3] / "samples"
    if not (samples / "digits.h5").is_file():
        raise SourceError("the quick form needs samples/ of a checkout of wdist; name other data with --data and --generator")
    factory = f"{samples / 'digit_generator.py'}:DigitGenerator"
    return str(samples / "digits.h5"), f"{samples / 'digit_generator.safetensors'}?factory={factory}&latent=normal:16"


def _bound(
    name: str, contest: _Contest, generator: str, sizes: _Sizes, conditions: Conditions, progress: SuiteProgress
) -> tuple[float, float]:
    """Mean and standard deviation of the held-out bound of one critic over seeds; the deviation for a single seed is nan."""
    settings = CriticSettings(width=sizes.width, depth=sizes.depth, batch_size=sizes.batch_size)
    how: Any = {"critic": name, "settings": settings, "steps": sizes.steps, "couplings": False, "access": contest.access}
    values = []
    for seed in range(conditions.seed, conditions.seed + sizes.seeds):
        label = f"{TITLES[contest.column]}, {CRITICS[name]}, seed {seed}"
        values.append(progress.estimate(label, contest.data, generator, seed=seed, **how).population.estimate)
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else math.nan


def _rows(column: str, name: str, mean: float, spread: float) -> Iterator[ReproducedNumber]:
    position, title = list(CRITICS).index(name), TITLES[column]
    paper, paper_spread = (VALUES[column][position], SPREADS[column][position]) if column in VALUES else (None, None)
    yield ReproducedNumber(row=CRITICS[name], column=title, ours=mean, paper=paper)
    if not math.isnan(spread):
        yield ReproducedNumber(row=CRITICS[name], column=f"{title}, ±", ours=spread, paper=paper_spread)


def _ratio(values: Values) -> float:
    return max(values[name][0] for name in _GROUPSORT) / values["relu-spectral"][0]


def _checks(column: str, values: Values) -> Iterator[ClaimCheck]:
    title, mean = TITLES[column], {name: value for name, (value, _) in values.items()}
    disordered = [
        f"{CRITICS[worse]} above {CRITICS[better]}"
        for worse, better in pairwise(_ORDER)
        if mean[worse] > mean[better] * (1 + _NOISE)
    ]
    yield ClaimCheck(
        claim=f"{title}: with Björck weights the order is ReLU, Maxout, MaxMin, GroupSort.",
        holds=not disordered,
        detail="; ".join([", ".join(f"{mean[name]:.3f}" for name in _ORDER), *disordered]),
    )
    behind = [name for name in mean if name.endswith("bjorck") and mean[name] < mean[name.replace("bjorck", "spectral")]]
    yield ClaimCheck(
        claim=f"{title}: each activation does better with Björck weights than with spectral normalisation.",
        holds=not behind,
        detail="all five" if not behind else f"not {', '.join(CRITICS[name] for name in behind)}",
    )
    ratio, paper = _ratio(values), RATIOS.get(column)
    much, counts = (
        ("above", "") if paper is None else (f"about {paper} times", f" ({percent(_SHARE, 0)} of the paper's ratio counts)")
    )
    yield ClaimCheck(
        claim=f"{title}: the bound of GroupSort with Björck is {much} that of ReLU with spectral normalisation.",
        holds=ratio > 1 + _NOISE if paper is None else ratio >= _SHARE * paper,
        detail=f"{ratio:.2f} times{counts}",
    )


def _panel(column: str, values: Values) -> Panel:
    ticks = tuple(dict.fromkeys(title.rpartition(", ")[0] for title in CRITICS.values()))
    shown, papers = dict[str, list[float]](), dict(zip(CRITICS, VALUES.get(column, ()), strict=False))
    for constraint in ("spectral", "bjorck"):
        chosen = [name for name in CRITICS if name.endswith(constraint)]
        label = CRITICS[f"relu-{constraint}"].rpartition(", ")[2]
        shown[label] = [values[name][0] for name in chosen]
        if papers:
            shown[f"{label}, paper"] = [papers[name] for name in chosen]
    return Panel(
        title=f"lower bound for W1 between generator and data, {TITLES[column]}",
        x_label="activation",
        ticks=ticks,
        y_label="held-out bound",
        series=curves(range(len(ticks)), shown, reference=[name for name in shown if name.endswith(", paper")]),
    )


def _operations(quick: bool) -> float:
    sizes, dims = (_QUICK, (64,)) if quick else (_FULL, (784, 3072))
    critics = sum(
        critic_operations(dim=dim, width=sizes.width, depth=sizes.depth, batch=2 * sizes.batch_size, steps=sizes.steps)
        for dim in dims
    )
    # One step of a generator and its critic takes about 1e10 operations; the quick form has a trained generator.
    return len(CRITICS) * sizes.seeds * critics + (0.0 if quick else GAN_STEPS * len(dims) * 1e10)


STUDY = Study(
    name="table2",
    title="W1 between generators and their data",
    source="table 2, section 7.2, appendix H.2",
    measure=_measure,
    operations=_operations,
    reduced=(
        "the 8x8 digits and the generator of samples/ instead of MNIST and CIFAR-10",
        f"width {_QUICK.width} instead of {_FULL.width}",
        f"{_QUICK.steps} steps instead of {_FULL.steps}",
        f"{_QUICK.seeds} seeds instead of {_FULL.seeds}",
    ),
    takes_data=True,
)
