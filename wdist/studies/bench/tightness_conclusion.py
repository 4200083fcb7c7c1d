"""What follows from the rows of the tightness suite: what holds always, what is asked for, and the picture."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from wdist.studies.bench.bench import Conclusion, Panel, Series, half_range
from wdist.studies.bench.tightness_pairs import SIZES
from wdist.studies.claim_check import Finding

# MERGED bench.tightness_rows: What is measured of one pair or of two finite sets: an estimate a seed, and what it is held against.

AIMED_SECONDS = 120.0
"""Training time of a pair that the aims are stated for."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """One estimate, with one seed."""

    seed: int
    critic: str
    """That which was chosen."""
    fresh: float
    """Of a known pair: tightness. Of finite sets: mean difference on fresh samples, else on the held-out split."""
    held_out: float
    """The held-out estimate, as a user sees it."""
    samples_lower: float
    samples_upper: float | None
    exact: bool
    population_lower: float
    population_upper: float | None
    certificate: float
    steps: int
    seconds: float
    """All in all: sources, training, certificate, evaluation, coupling."""

    @property
    def gap(self) -> float | None:
        """Of the samples interval, as a share of its upper end."""
        return None if not self.samples_upper else 1 - self.samples_lower / self.samples_upper


@dataclass(frozen=True, kw_only=True)
class Runs:
    """One row: the same estimate with several seeds."""

    name: str
    samples: int | None
    """Of each side, the smaller one; None where they are drawn without end."""
    dim: int
    budget_seconds: float | None
    runs: tuple[Run, ...]
    course: tuple[tuple[float, float], ...]
    """Of the first seed: seconds of training so far, and the best validation value so far, over the truth where it is known."""

    @property
    def fresh(self) -> float:
        """Median over seeds."""
        return median(run.fresh for run in self.runs)

    @property
    def spread(self) -> float | None:
        """Half the range over seeds; None for a single one."""
        values = [run.fresh for run in self.runs]
        return half_range(values)

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def critics(self) -> str:
        """Names of those that were chosen, the most frequent first."""
        names = [run.critic for run in self.runs]
        return ", ".join(sorted(set(names), key=lambda name: (-names.count(name), name)))

    @property
    def middle(self) -> Run:
        """The seed in the middle by tightness, whose interval is shown."""
        return sorted(self.runs, key=lambda run: run.fresh)[len(self.runs) // 2]

    @property
    def aimed(self) -> bool:
        """Whether the training had the time that the aims are stated for."""
        return self.budget_seconds is not None and self.budget_seconds >= AIMED_SECONDS


@dataclass(frozen=True, kw_only=True)
class KnownRow(Runs):
    """A pair whose W1 is known."""

    family: str
    truth: float
    truth_error: float
    """Standard error of the truth; 0 where it is a closed form."""
    published: float | None
    aim: float | None
    linear: float
    """Tightness of the linear critic that follows from the same samples."""
    single_cone: float
    minibatch: float
    """Mean exact W1 of minibatches, over the truth: not a bound."""
    sinkhorn: float
    """Sinkhorn divergence over the truth: not a bound."""


@dataclass(frozen=True, kw_only=True)
class FiniteRow(Runs):
    """Two finite sets."""

    judged_on: str
    """``fresh samples`` or ``held-out split``."""
    aim: float | None
    minibatch: float
    sinkhorn: float


_HIGHEST_SHOWN = 1.6
"""Minibatches overshoot without limit as the dimension grows."""
_NEAR = 0.02
_ROUNDING = 1e-9
_TRUTH_ERRORS = 4
"""Standard errors by which a Monte-Carlo truth may be wrong."""


def conclude(rows: Sequence[KnownRow | FiniteRow]) -> Conclusion:
    """Findings and figure; the aims are looked at where the training had the time that they are stated for."""
    known = [row for row in rows if isinstance(row, KnownRow)]
    finite = [row for row in rows if isinstance(row, FiniteRow)]
    return Conclusion(
        findings=tuple(_findings(known, finite)),
        panels=tuple(_panels(known)),
        remarks=(
            "Tightness: how far the certified critic falls along fresh rows of an optimal coupling, as a share of how far they "
            "lead; the median over seeds, ± half their range.",
            "Minibatch: mean exact W1 of minibatches of 64, Sinkhorn: its divergence, both over the truth. Neither is a bound.",
            "Published: GroupSort critics with orthogonal weights, Korotin, Kolesov & Burnaev (2022).",
        )
        if known
        else (),
    )


def _findings(known: list[KnownRow], finite: list[FiniteRow]) -> Iterator[Finding]:
    """What has to hold always, then what is asked for where the training had the time that it is asked of."""
    exact = [run for row in (*known, *finite) for run in row.runs if run.exact and run.samples_upper is not None]
    if exact:
        above = sum(run.samples_lower > (run.samples_upper or 0.0) for run in exact)
        yield Finding(
            claim="No lower end for the samples is above their exact W1.",
            holds=above == 0,
            detail=f"{above} of {len(exact)} are",
        )
    runs = [(row, run) for row in known for run in row.runs]
    if runs:
        above = sum(run.fresh > 1 + _ROUNDING for _, run in runs)
        yield Finding(
            claim="No critic falls further than its certificate allows.", holds=above == 0, detail=f"{above} of {len(runs)} do"
        )
        low = sum(run.population_lower > row.truth + _TRUTH_ERRORS * row.truth_error for row, run in runs)
        high = sum(
            run.population_upper is not None and run.population_upper < row.truth - _TRUTH_ERRORS * row.truth_error
            for row, run in runs
        )
        yield Finding(
            claim="The interval for the populations misses the truth no oftener than at one in twenty.",
            holds=low + high <= _most_misses(len(runs)),
            detail=f"{low} of {len(runs)} lower ends are above it, {high} upper ends below",
        )
    for family, words in (("funnels", "funnel pair"), ("cones", "pair of cones")):
        endless = [row for row in known if row.aimed and row.family == family and row.samples is None]
        if endless:
            missed = [row for row in endless if row.aim is not None and row.fresh < row.aim]
            yield _aims(f"Endless samples: every {words} as tight as is asked for.", endless, missed)
    funnels = [row for row in known if row.aimed and row.family == "funnels" and row.samples is None]
    if funnels:
        middle = median(row.fresh for row in funnels)
        yield Finding(
            claim="Endless samples: 0.98 of the truth in the median over funnel pairs.",
            holds=middle >= 0.98,
            detail=f"{middle:.3f}",
        )
    files = [row for row in known if row.aimed and row.samples == 20_000 and row.aim is not None]
    if files:
        missed = [row for row in files if row.fresh < (row.aim or 0.0)]
        yield _aims("20,000 samples: 0.90 of the truth on funnel pairs up to dimension 16.", files, missed)
    many = [row for row in known if row.aimed and row.samples is not None]
    if many:
        behind = [row for row in many if row.fresh < max(row.linear, row.single_cone) * (1 - _NEAR)]
        yield _aims("From files: nowhere 2 % below the linear critic or the single cone.", many, behind)
    closed = [row for row in finite if row.aimed and row.samples is not None and row.samples <= 5_000]
    closed_known = [row for row in known if row.aimed and row.samples is not None and row.samples <= 5_000]
    small: list[Runs] = [*closed, *closed_known]
    if small:
        open_ = [row for row in small if row.middle.gap is None or row.middle.gap > 0.01]
        yield _aims(
            "Up to 5,000 samples: the samples interval closed to 1 %.", small, open_, value=lambda row: row.middle.gap or 1.0
        )
    asked = [row for row in finite if row.aimed and row.aim is not None]
    for row in asked:
        yield Finding(
            claim=f"{row.name}: at least {row.aim:g} on {row.judged_on}.",
            holds=row.fresh >= (row.aim or 0.0),
            detail=f"{row.fresh:.3f}",
        )


def _aims(
    claim: str, rows: Sequence[Runs], missed: Sequence[Runs], *, value: Callable[[Runs], float] = lambda row: row.fresh
) -> Finding:
    detail = "; ".join(f"{row.name}: {value(row):.3f}" for row in missed) or f"on all {len(rows)}"
    return Finding(claim=claim, holds=not missed, detail=detail)


def _most_misses(runs: int) -> int:
    """Above a share of 5 % by no more than two standard deviations."""
    return math.floor(0.05 * runs + 2 * math.sqrt(0.05 * 0.95 * runs))


def _panels(known: list[KnownRow]) -> Iterator[Panel]:
    names = list(dict.fromkeys(row.name for row in known))
    if not names:
        return
    series = []
    for size in SIZES:
        rows = [row for row in known if row.samples == size]
        if rows:
            series.append(
                Series(
                    name="endless samples" if size is None else f"{size:,} samples",
                    x=tuple(names.index(row.name) for row in rows),
                    y=tuple(row.fresh for row in rows),
                    errors=tuple(row.spread or 0.0 for row in rows),
                )
            )
    for name, values in (
        ("published GroupSort", {row.name: row.published for row in known if row.published is not None}),
        ("minibatch W1, no bound", {row.name: row.minibatch for row in known}),
    ):
        if values:
            series.append(
                Series(
                    name=name, x=tuple(names.index(each) for each in values), y=tuple(map(float, values.values())), reference=True
                )
            )
    yield Panel(
        title="tightness: the certified critic's share of the truth",
        x_label="",
        y_label="share of the truth",
        series=tuple(series),
        ticks=tuple(names),
        level=1.0,
        bottom=0.0,
        top=_HIGHEST_SHOWN,
    )
    yield Panel(
        title="tightness against time",
        x_label="seconds of training",
        y_label="best validation value, share",
        series=tuple(
            Series(
                name=f"{row.family}, {'endless' if row.samples is None else 'from files'}",
                x=tuple(seconds for seconds, _ in row.course),
                y=tuple(share for _, share in row.course),
                line=True,
                reference=row.samples is not None,
            )
            for row in known
            if len(row.course) > 1
        ),
        log_x=True,
        level=1.0,
        bottom=0.0,
        top=1.05,
    )
