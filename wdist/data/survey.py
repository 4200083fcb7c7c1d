"""Survey of all rows in one pass: which rows are not finite, the range of values, and a digest that identifies the data."""

import hashlib
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.data.access import DROP, REFUSE, Access
from wdist.data.sources.arrays import EXACT_INTEGERS, little_endian_bytes, too_large, type_name
from wdist.data.sources.source import FiniteSource, SelectedRows, SourceInfo
from wdist.data.sources.tables import leave_out
from wdist.data.survey_cache import keep, key, recall
from wdist.errors import SourceError

MINIMUM_ROWS = 20
"""Fewest samples that can be split into training, validation and held-out parts."""
_WORST = 3
"""Columns whose missing values an error counts."""
_MOST_NONFINITE = 10_000
"""Most rows with NaN or infinity of a survey that is kept."""
_BYTES_AT_ONCE = 1 << 23
"""Size of a slab in float64; the process would keep the memory of much larger slabs."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Result of one pass over a finite source."""

    nonfinite: np.ndarray
    """Sorted numbers of the rows with NaN or infinity."""
    infinite: bool
    """Whether a row holds infinity."""
    minimum: float | None
    """Smallest value of the finite rows, in the units of the source; None if no row is finite."""
    maximum: float | None
    magnitude: float
    """Largest absolute value of the finite rows, as stored; 0 if no row is finite."""
    constant: bool
    """True if all finite rows are equal."""
    digest: str
    """SHA-256 of type, event shape and all stored values, in hexadecimal."""


def survey(source: FiniteSource, progress: Callable[[float], None] = lambda fraction: None, *, cache: bool = False) -> Survey:
    """Reads a source once, in slabs, or recalls the survey of a file that has not changed (:mod:`wdist.data.survey_cache`).

    Arguments:
        source: holds the rows.
        progress: receives the fraction that has been read.
        cache: whether to recall and to keep surveys.
    """
    known = key_of(source) if cache else None
    recalled = None if known is None else recall(known)
    if recalled is not None:
        progress(1.0)
        return Survey(**{**recalled, "nonfinite": np.array(recalled["nonfinite"], dtype=np.int64)})
    found = _read(source, progress)
    if known is not None and len(found.nonfinite) <= _MOST_NONFINITE:
        keep(known, {**vars(found), "nonfinite": found.nonfinite.tolist()})
    return found


def key_of(source: FiniteSource) -> str | None:
    """Everything that the survey of a source depends on, as text; None if it has no file, or reads its rows from another source."""
    info = source.info
    described = (info.address, info.count, info.event_shape, info.dtype, info.scale, info.offset, info.notes)
    return key(described, source.identity(), source.nbytes) if source.stored is source else None


def _read(source: FiniteSource, progress: Callable[[float], None]) -> Survey:
    seen, shape = _Seen(), tuple(source.stored.info.event_shape)
    digest: hashlib._Hash | None = None
    # Hashing takes about as long as everything else, so it runs in a thread.
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="wdist-digest") as hashing:
        hashed: Future[None] | None = None
        for start, stored in source.stored.slabs(max(1, _BYTES_AT_ONCE // (8 * source.info.dim))):
            if digest is None:
                digest = hashlib.sha256(f"{type_name(stored.dtype)} {shape}{_levels(source)}\n".encode())
            if hashed is not None:
                hashed.result()
            hashed = hashing.submit(digest.update, little_endian_bytes(stored))
            seen.add(start, source.coordinates(stored))
            progress((start + len(stored)) / source.count)
    assert digest is not None, "a source has rows"
    return seen.survey(source, digest.hexdigest())


class _Seen:
    """Facts about the rows of a source that were read so far."""

    def __init__(self) -> None:
        self._nonfinite: list[np.ndarray] = []
        self._low, self._high = np.inf, -np.inf
        self._first: Tensor | None = None
        self._constant, self._infinite = True, False

    def add(self, start: int, rows: Tensor) -> None:
        """Adds rows, the first of which has the number ``start``."""
        low, high = map(float, rows.aminmax())
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = torch.isfinite(rows).all(dim=1)
            self._nonfinite.append(start + torch.nonzero(~finite).flatten().numpy())
            self._infinite = self._infinite or bool(torch.isinf(rows).any())
            rows = rows[finite]
            if not len(rows):
                return
            low, high = map(float, rows.aminmax())
        self._low, self._high = min(self._low, low), max(self._high, high)
        self._first = rows[:1].clone() if self._first is None else self._first
        self._constant = self._constant and bool((rows == self._first).all())

    def survey(self, source: FiniteSource, digest: str) -> Survey:
        """The facts, in the units of the source."""
        found = self._first is not None
        return Survey(
            nonfinite=np.concatenate(self._nonfinite) if self._nonfinite else np.empty(0, dtype=np.int64),
            infinite=self._infinite,
            minimum=self._low * source.info.scale + source.info.offset if found else None,
            maximum=self._high * source.info.scale + source.info.offset if found else None,
            magnitude=max(-self._low, self._high) if found else 0.0,
            constant=self._constant and found,
            digest=digest,
        )


def _levels(source: FiniteSource) -> str:
    """The levels of the categories of a table, without which the numbers that stand for them mean nothing."""
    levels = [column.levels for column in source.stored.info.columns or ()]
    return f" {levels}" if any(levels) else ""


def check_missing(source: FiniteSource) -> None:
    """Refuses a table with missing values, in an error that counts those of the columns with the most."""
    columns = source.info.columns
    if columns is None:
        return
    counts, rows_missing = torch.zeros(len(columns), dtype=torch.int64), 0
    for _, rows in source.slabs(max(1, _BYTES_AT_ONCE // (8 * source.info.dim))):
        missing = torch.isnan(rows[:, [column.start for column in columns]])
        counts, rows_missing = counts + missing.sum(dim=0), rows_missing + int(missing.any(dim=1).sum())
    if not rows_missing:
        return
    empty = [column.name for column, count in zip(columns, counts.tolist(), strict=True) if count == source.count]
    if empty:
        which = f"the column {empty[0]!r} misses" if len(empty) == 1 else f"{len(empty)} columns miss"
        raise SourceError(f"{source.info.address}: {which} every value; {leave_out(*empty)}")
    worst = sorted(range(len(columns)), key=lambda k: -int(counts[k]))
    shown = ", ".join(f"{columns[k].name} {int(counts[k])}" for k in worst[:_WORST] if counts[k])
    more = ", ..." if int((counts > 0).sum()) > _WORST else ""
    holds = "rows misses a value" if rows_missing == 1 else "rows miss values"
    raise SourceError(
        f"{source.info.address}: {rows_missing} of {source.count} {holds} ({shown}{more}); leave such rows out with --missing "
        f"drop, set missing values apart with --missing level, or leave columns out with ?without="
    )


def check_exact(info: SourceInfo, magnitude: float) -> None:
    """Refuses integers of up to this magnitude if float64 rounds some of them."""
    if info.dtype in ("int64", "uint64") and magnitude >= EXACT_INTEGERS:
        raise too_large(info.address, f"{magnitude:g}")


def finite_rows(source: FiniteSource, found: Survey, access: Access) -> FiniteSource:
    """The rows of a source from which a distance can be computed: those without NaN and infinity.

    Raises:
        SourceError: rows are not finite and ``access`` does not drop them, fewer than :data:`MINIMUM_ROWS` are left, integers are
            too large to be exact, or values lie outside the interval that the user declared.
    """
    info, bad = source.info, found.nonfinite
    if len(bad) == source.count or (len(bad) and access.missing == REFUSE and not access.drop_nonfinite):
        check_missing(source)
    if len(bad) == source.count:
        raise SourceError(f"{info.address}: every row holds NaN or infinity; fix the data, or give another source")
    dropping = access.drop_nonfinite or (access.missing == DROP and not found.infinite)
    if len(bad) and not dropping:
        rows = ", ".join(str(row) for row in bad[:5]) + (", ..." if len(bad) > 5 else "")
        which = f"row {rows} holds" if len(bad) == 1 else f"{len(bad)} of {source.count} rows ({rows}) hold"
        raise SourceError(f"{info.address}: {which} NaN or infinity; fix the data, or drop these rows with --drop-nonfinite")
    if len(bad):
        keep = np.setdiff1d(np.arange(source.count), bad, assume_unique=True)
        what = "NaN or infinity" if found.infinite or info.columns is None else "missing values"
        note = f"{len(bad)} rows with {what} were left out"
        source = SelectedRows(source, keep, notes=(note,), dropped=len(bad))
    if source.count < MINIMUM_ROWS:
        samples = "sample" if source.count == 1 else "samples"
        wide = len(info.event_shape) == 1 and info.dim >= MINIMUM_ROWS and info.columns is None
        other = f"transpose it if its {info.dim} columns are the samples" if wide else "use wdist.transport in Python for fewer"
        raise SourceError(f"{info.address} holds {source.count} usable {samples}; give at least {MINIMUM_ROWS}, or {other}")
    check_exact(info, found.magnitude)
    if info.bounds is not None and found.minimum is not None and found.maximum is not None:
        low, high = info.bounds
        slack = 1e-9 * (high - low)
        if found.minimum < low - slack or found.maximum > high + slack:
            raise SourceError(
                f"{info.address}: values range from {found.minimum:g} to {found.maximum:g}, outside of {low:g} to {high:g} "
                f"as declared by stored=; correct stored= in the address"
            )
    return source
