"""Rows of estimates with several seeds, and the conclusions from them."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from wdist.studies.panels import Panel, Series, series_of
from wdist.studies.study import ClaimCheck, Conclusion, half_range


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """One estimate, with one seed."""

    seed: int
    critic: str
    """Name of the selected critic."""
    fresh: float
    """Tightness on a known pair; on finite sets the dual value on fresh samples or, without them, on the held-out split."""
    held_out: float
    """The held-out estimate that the user sees."""
    samples_lower: float
    samples_upper: float | None
    exact: bool
    population_lower: float
    population_upper: float | None
    certificate: float
    steps: int
    seconds: float
    """Total seconds: sources, training, certificate, evaluation, coupling."""

    @property
    def gap(self) -> float | None:
        """Gap of the interval for the samples, as a share of its upper bound."""
        return None if not self.samples_upper else 1 - self.samples_lower / self.samples_upper


@dataclass(frozen=True, kw_only=True)
class Runs:
    """The same estimate with several seeds: one row."""

    name: str
    samples: int | None
    """Number of samples on the smaller side; None for endless draws."""
    dim: int
    budget_seconds: float | None
    runs: tuple[SeedRun, ...]
    course: tuple[tuple[float, float], ...]
    """Seconds of training and best validation value so far, over the truth if it is known, for the first seed."""
    minibatch: float
    """Mean exact W1 of minibatches, over the truth if it is known; not a bound."""
    sinkhorn: float
    """Sinkhorn divergence, over the truth if it is known; not a bound."""

    @property
    def fresh(self) -> float:
        return median(run.fresh for run in self.runs)

    @property
    def spread(self) -> float | None:
        return half_range([run.fresh for run in self.runs])

    @property
    def seconds(self) -> float:
        return median(run.seconds for run in self.runs)

    @property
    def critics(self) -> str:
        """Names of the selected critics, the most frequent first."""
        names = [run.critic for run in self.runs]
        return ", ".join(sorted(set(names), key=lambda name: (-names.count(name), name)))

    @property
    def middle(self) -> SeedRun:
        """The run of median tightness, whose interval is shown."""
        return sorted(self.runs, key=lambda run: run.fresh)[len(self.runs) // 2]


@dataclass(frozen=True, kw_only=True)
class KnownRow(Runs):
    """Runs on a pair whose W1 is known."""

    family: str
    truth: float
    truth_error: float
    """Standard error of the truth; 0 for a closed form."""
    published: float | None
    linear: float
    """Tightness of the linear critic from the same samples."""
    single_cone: float
    """Tightness of the best single cone from the same samples."""


@dataclass(frozen=True, kw_only=True)
class FiniteRow(Runs):
    """Runs on a pair of finite sets."""

    judged_on: str
    """``fresh samples`` or ``held-out split``."""


_HIGHEST_SHOWN = 1.6  # the mean W1 of minibatches grows without limit with the dimension
_ROUNDING = 1e-9
_TRUTH_ERRORS = 4  # number of standard errors by which a Monte Carlo truth may be wrong


def conclude(rows: Sequence[KnownRow | FiniteRow]) -> Conclusion:
    """Checks that every bound is sound, and draws tightness over pairs and over time."""
    known = [row for row in rows if isinstance(row, KnownRow)]
    return Conclusion(
        checks=tuple(_checks(rows, known)),
        panels=(_tightness_panel(known), _course_panel(known)) if known else (),
        remarks=(
            "Tightness: mean decrease of the certified critic along fresh rows of an optimal coupling, over the mean distance of "
            "the coupled points; the median over seeds, ± half their range.",
            "Minibatch: mean exact W1 of minibatches of 64; Sinkhorn: the Sinkhorn divergence; both over the truth. Neither is a "
            "bound.",
            "Published: GroupSort critics with orthogonal weights, Korotin, Kolesov & Burnaev (2022).",
        )
        if known
        else (),
    )


def _checks(rows: Sequence[Runs], known: Sequence[KnownRow]) -> Iterator[ClaimCheck]:
    if exact := [run for row in rows for run in row.runs if run.exact and run.samples_upper is not None]:
        above = sum(run.samples_lower > (run.samples_upper or 0.0) for run in exact)
        claim = "No lower bound for the samples exceeds their exact W1."
        yield ClaimCheck(claim=claim, holds=above == 0, detail=f"{above} of {len(exact)} do")
    runs = [(row, run) for row in known for run in row.runs]
    if not runs:
        return
    yield truth_check([run.fresh for _, run in runs])
    high = sum(run.population_lower > row.truth + _TRUTH_ERRORS * row.truth_error for row, run in runs)
    low = sum(
        run.population_upper is not None and run.population_upper < row.truth - _TRUTH_ERRORS * row.truth_error for row, run in runs
    )
    yield ClaimCheck(
        claim="The population interval misses the truth in at most one of twenty runs.",
        holds=high + low <= math.floor(0.05 * len(runs) + 2 * math.sqrt(0.05 * 0.95 * len(runs))),  # two standard deviations
        detail=f"{high} of {len(runs)} lower bounds are above it, {low} upper bounds below",
    )


def truth_check(shares: Sequence[float]) -> ClaimCheck:
    """Checks that no critic reaches more than all of the truth on fresh samples."""
    above = sum(share > 1 + _ROUNDING for share in shares)
    claim = "No critic's value on fresh samples exceeds the truth."
    return ClaimCheck(claim=claim, holds=above == 0, detail=f"{above} of {len(shares)} do")


def _tightness_panel(known: list[KnownRow]) -> Panel:
    names = tuple(dict.fromkeys(row.name for row in known))
    draw = partial(series_of, x=lambda row: names.index(row.name), marks=True)
    smallest_first = sorted(known, key=lambda row: row.samples or math.inf)
    return Panel(
        title="tightness: the certified critic's share of the truth",
        x_label="",
        y_label="share of the truth",
        series=(
            *draw(
                smallest_first,
                name=lambda row: "endless samples" if row.samples is None else f"{row.samples:,} samples",
                y="fresh",
                errors="spread",
            ),
            *draw(
                [row for row in known if row.published is not None],
                name=lambda row: "published GroupSort",
                y="published",
                reference=lambda row: True,
            ),
            *draw(
                {row.name: row for row in known}.values(),
                name=lambda row: "minibatch W1, no bound",
                y="minibatch",
                reference=lambda row: True,
            ),
        ),
        ticks=names,
        level=1.0,
        bottom=0.0,
        top=_HIGHEST_SHOWN,
    )


def _course_panel(known: list[KnownRow]) -> Panel:
    series = tuple(
        Series(
            name=f"{row.family}, {'endless' if row.samples is None else 'from files'}",
            x=tuple(seconds for seconds, _ in row.course),
            y=tuple(share for _, share in row.course),
            reference=row.samples is not None,
        )
        for row in known
        if len(row.course) > 1
    )
    return Panel(
        title="tightness over time",
        x_label="seconds of training",
        y_label="best validation value, share",
        series=series,
        log_x=True,
        level=1.0,
        bottom=0.0,
        top=1.05,
    )
