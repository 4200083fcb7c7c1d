"""Learning curves: values of critics on fresh samples of a pair of known W1, by the number of training samples.

If a curve still rises with the number of samples, more samples would help. If it is flat below the truth, and the value on the
training samples is as low, the critic lacks capacity or training.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from wdist.estimation.result import Estimate
from wdist.studies.bench.tightness import coupled_rows, drawn, fall
from wdist.studies.bench.tightness_cases import KNOWN, KnownCase
from wdist.studies.bench.tightness_rows import truth_check
from wdist.studies.panels import Panel, grouped, series_of
from wdist.studies.progress import SuiteProgress
from wdist.studies.study import Column, Conclusion, Conditions, Study, StudyTable

PAIRS = (
    "funnels-256-dim-16",
    "funnels-256-dim-64",
    "funnels-16-dim-128",
    "funnels-256-dim-128",
    "subspaces-dim-16",
    "subspaces-dim-128",
    "polytopes-dim-32",
    "network-dim-16",
    "network-dim-32",
)
"""Pairs of ``bench tightness`` on which critics trained on files fell short."""
CRITICS: dict[str, int | None] = {
    "single-cone": None,
    "cones": 60,
    "elliptic-cones": 800,
    "groupsort-bjorck": 400,
    "relu-spectral": 400,
}
"""Critic -> training steps (None if it is not trained); a fixed number makes curves independent of the machine's speed."""
SIZES, QUICK_SIZES = (1_000, 5_000, 20_000, 50_000, 200_000), (1_000, 4_000)


@dataclass(frozen=True, kw_only=True)
class LearningRow:
    """Values of one critic from one number of samples."""

    name: str
    critic: str
    samples: int
    """Number of samples a side; two thirds are trained on."""
    dim: int
    seed: int
    training: float
    """Dual value on the training split over the certificate and over W1."""
    fresh: float
    """Mean decrease of the critic along fresh rows of an optimal coupling, over the certificate and over their mean length."""
    steps: int
    seconds: float


def _measure(conditions: Conditions) -> Iterator[LearningRow]:
    sizes = QUICK_SIZES if conditions.quick else SIZES
    cases = {case.name: case for case in KNOWN}
    chosen = [
        (cases[name], size, critic)
        for name in PAIRS
        for size in sizes
        for critic in CRITICS
        if conditions.wanted(f"{name} {size // 1000}k {critic}", quick=name == "funnels-256-dim-16")
    ]
    progress = SuiteProgress(conditions, runs=len(chosen) * len(conditions.seeds))
    for case, size, critic in chosen:
        for seed in conditions.seeds:
            measured = partial(_row, case, size, critic, seed, progress, conditions)
            yield conditions.row(f"{case.name} {size} {critic} {seed}", measured)


def _row(case: KnownCase, size: int, critic: str, seed: int, progress: SuiteProgress, conditions: Conditions) -> LearningRow:
    pair = case.make(conditions.data)
    a, b = drawn(pair, size, seed)
    label = f"{case.name} {size // 1000}k {critic}, seed {seed}"
    steps = CRITICS[critic]
    found: Estimate = progress.estimate(label, a, b, steps=steps, critic=critic, seed=seed, couplings=False)
    return LearningRow(
        name=case.name,
        critic=critic,
        samples=size,
        dim=case.dim,
        seed=seed,
        training=found.critic.training_value / pair.w1,
        fresh=fall(found.critic, *coupled_rows(pair, case.dim)),
        steps=found.critic.steps,
        seconds=found.critic.seconds,
    )


def conclude(rows: Sequence[LearningRow]) -> Conclusion:
    """Checks that no critic exceeds the truth, and draws a panel for each pair."""
    return Conclusion(
        checks=(truth_check([row.fresh for row in rows]),),
        panels=tuple(_panel(name, own) for name, own in grouped(rows, "name").items()),
        remarks=("Training: share of the truth on the training samples, which may exceed 1; fresh: on fresh coupled samples.",),
    )


def _panel(name: str, rows: Sequence[LearningRow]) -> Panel:
    return Panel(
        title=name,
        x_label="samples of each side",
        y_label="share of the truth",
        series=series_of(rows, name="critic", x="samples", y="fresh", marks=len({row.seed for row in rows}) > 1),
        log_x=True,
        level=1.0,
        bottom=0.0,
        top=1.05,
    )


STUDY = Study(
    name="learning",
    title="How much critics learn from how many samples",
    measure=_measure,
    divisible=True,
    conclude=conclude,
    tables=(
        StudyTable(
            "shares of the truth",
            LearningRow,
            Column("pair", "name"),
            *Column.named("samples", "critic"),
            *Column.named("training", "fresh", kind="share"),
            Column("time", "seconds", "seconds"),
        ),
    ),
    reduced=("1 of 9 pairs", "files of 1,000 and 4,000 samples"),
)
