"""What follows from the rows of the speed suite: what was asked for and whether it held, and the picture."""

from collections.abc import Iterator, Sequence

from wdist.studies.bench.bench import Conclusion, Panel, Series
from wdist.studies.bench.speed_costs import CostRow
from wdist.studies.bench.speed_races import FOLLOWED, PAPER, RaceRow
from wdist.studies.bench.speed_side_by_side import SideBySideRow
from wdist.studies.bench.speed_steps import FLOOR, FULL, StepRow
from wdist.studies.claim_check import Finding

_NETWORK, _GROUP = "784-720-720-1", "9"
_MOST = {("adam", 64): 2.3, ("adam", 512): 1.4, ("adam", 2048): 1.15, ("muon", 64): 5.0, ("muon", 512): 1.8, ("muon", 2048): 1.2}
"""Times the floor of the same optimiser that a step of ours may take."""
_FULL_SORT = 2.0
"""Times as much with all units sorted together."""
_LEAST = {("paper", 64): 80.0, ("paper", 512): 30.0, ("torchlip", 64): 8.0, ("torchlip", 512): 4.0}
"""Times a step of ours that theirs takes."""
_OURS = ("adam", "orthogonal-sgd", "muon")
_LEAST_SHARE = {("3072-1024-1024-1024-1", 4096): 0.6}
"""Of the measured product rate that a step of ours reaches on a GPU."""
_SOONER = {"paper": 50.0, "torchlip": 10.0}
"""Times as soon that ours reaches a bound."""


def conclude(rows: Sequence[StepRow | SideBySideRow | RaceRow | CostRow]) -> Conclusion:
    """Findings and figure."""
    steps = [row for row in rows if isinstance(row, StepRow)]
    races = [row for row in rows if isinstance(row, RaceRow)]
    costs = [row for row in rows if isinstance(row, CostRow)]
    return Conclusion(
        findings=(*_step_findings(steps), *_race_findings(races), *_cost_findings(costs)),
        panels=tuple(_panels(steps, races)),
        remarks=(
            "Times the floor: the median over rounds and seeds, ± half of how far the seeds are apart; blocks of all schemes are "
            "taken in turn in one process, on one thread, in float32.",
            "Of the product rate: operations of the products that no scheme can avoid, over the time and over the rate of the "
            "first layer's product by itself.",
        )
        if steps
        else (),
    )


def _step_findings(rows: list[StepRow]) -> Iterator[Finding]:
    at = {(row.shape, row.group, row.batch, row.scheme): row for row in rows}
    for (scheme, batch), most in _MOST.items():
        row = at.get((_NETWORK, _GROUP, batch, scheme))
        if row is not None:
            yield Finding(
                claim=f"{row.title}: a step at batch {batch} takes at most {most:g} of the floor of the same optimiser.",
                holds=row.own_ratio <= most,
                detail=f"{row.own_ratio:.2f}; {row.ratio:.2f} of the floor with Adam",
            )
        full, floor = at.get((_NETWORK, FULL, batch, scheme)), at.get((_NETWORK, _GROUP, batch, FLOOR))
        if full is not None and floor is not None:
            ratio = full.milliseconds / floor.milliseconds
            yield Finding(
                claim=f"{full.title}, all units sorted together: at batch {batch} at most {_FULL_SORT * most:g} of the floor "
                f"with groups of {_GROUP}.",
                holds=ratio <= _FULL_SORT * most,
                detail=f"{ratio:.2f}",
            )
    for row in rows:
        least_share = _LEAST_SHARE.get((row.shape, row.batch)) if row.precision == "TF32" and row.scheme in _OURS else None
        if least_share is not None:
            yield Finding(
                claim=f"{row.title}: {row.shape} at batch {row.batch} runs at {least_share:.0%} or more of the TF32 product rate.",
                holds=row.rate_share >= least_share,
                detail=f"{row.rate_share:.0%}",
            )
    for (scheme, batch), least in _LEAST.items():
        theirs, ours = at.get((_NETWORK, _GROUP, batch, scheme)), at.get((_NETWORK, _GROUP, batch, "adam"))
        if theirs is not None and ours is not None:
            ratio = theirs.ratio / ours.ratio
            yield Finding(
                claim=f"A step of {theirs.title} at batch {batch} takes at least {least:g} of ours with Adam.",
                holds=ratio >= least,
                detail=f"{ratio:.1f}",
            )


def _race_findings(rows: list[RaceRow]) -> Iterator[Finding]:
    """The soonest of our optimisers against each peer."""
    for pair in dict.fromkeys(row.pair for row in rows):
        by_scheme = {row.scheme: row for row in rows if row.pair == pair}
        ours = [by_scheme[name] for name in _OURS if name in by_scheme and by_scheme[name].seconds is not None]
        best = min(ours, key=lambda row: row.seconds or 0.0, default=None)
        for peer, least in _SOONER.items():
            theirs = by_scheme.get(peer)
            if theirs is None or best is None or best.seconds is None:
                continue
            claim = f"{pair}: ours ends at the bound at least {least:g} times as soon as {theirs.title}."
            seconds, but = theirs.seconds, ""
            if seconds is None:
                seconds, but = FOLLOWED * (by_scheme[PAPER].seconds or 0.0), "more than "
            ratio = seconds / best.seconds
            detail = f"{but}{ratio:.1f}: {best.title} {best.seconds:.2g} s, {but}{seconds:.2g} s"
            yield Finding(claim=claim, holds=ratio >= least, detail=detail)


def _cost_findings(rows: list[CostRow]) -> Iterator[Finding]:
    for row in rows:
        if row.limit is not None and row.within is not None:
            yield Finding(
                claim=f"{row.what[0].upper()}{row.what[1:]}: at most {row.limit:g} {row.unit}.",
                holds=row.within,
                detail=f"{row.value:.3g} {row.unit}",
            )


def _panels(steps: list[StepRow], races: list[RaceRow]) -> Iterator[Panel]:
    drawn = [row for row in steps if (row.shape, row.group) == (_NETWORK, _GROUP)]
    if drawn:
        yield Panel(
            title=f"one step of {_NETWORK}, groups of {_GROUP}",
            x_label="samples of each side in a batch",
            y_label="times the step without a constraint",
            series=tuple(_by_batch(drawn)),
            log_x=True,
            log_y=True,
            level=1.0,
        )
    names = sorted({row.scheme for row in races if row.scheme != PAPER})
    pairs = list(dict.fromkeys(row.pair for row in races))
    if names:
        yield Panel(
            title="until the bound of the paper's scheme",
            x_label="",
            y_label="times as soon as the paper's scheme",
            series=tuple(_by_pair(races, names, pairs)),
            log_y=True,
            ticks=tuple(pairs),
            level=1.0,
        )


def _by_batch(rows: list[StepRow]) -> Iterator[Series]:
    for scheme in dict.fromkeys(row.scheme for row in rows if row.scheme != FLOOR):
        own = sorted((row for row in rows if row.scheme == scheme), key=lambda row: row.batch)
        yield Series(
            name=own[0].title,
            x=tuple(float(row.batch) for row in own),
            y=tuple(row.ratio for row in own),
            errors=tuple(row.spread or 0.0 for row in own),
            line=True,
            reference=scheme not in _OURS,
        )


def _by_pair(rows: list[RaceRow], names: list[str], pairs: list[str]) -> Iterator[Series]:
    for name in names:
        own = [(pairs.index(row.pair), row) for row in rows if row.scheme == name and row.sooner is not None]
        if own:
            yield Series(
                name=own[0][1].title,
                x=tuple(float(position) for position, _ in own),
                y=tuple(row.sooner or 0.0 for _, row in own),
                reference=name not in _OURS,
            )
