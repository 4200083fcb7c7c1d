"""All suites by name. A new one is a file of its own and one line here."""

from difflib import get_close_matches

from wdist.errors import UsageError
from wdist.studies.bench import coverage, gates, ladder, speed, tightness
from wdist.studies.bench.bench import Bench

BENCHES = {bench.name: bench for bench in (tightness.BENCH, coverage.BENCH, ladder.BENCH, gates.BENCH, speed.BENCH)}


def bench(name: str) -> Bench:
    """The suite of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name in BENCHES:
        return BENCHES[name]
    meant = get_close_matches(name.lower(), BENCHES, n=1, cutoff=0.6)
    way_out = f"did you mean {meant[0]}?" if meant else f"choose one of {', '.join(BENCHES)}"
    raise UsageError(f"there is no suite {name!r}; {way_out}")
