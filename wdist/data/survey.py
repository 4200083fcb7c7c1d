"""Survey of all rows in one pass: rows that are not finite, the range of values, and a digest that identifies the data."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from wdist.data.access import DROP, REFUSE, Access
from wdist.data.sources.arrays import EXACT_INTEGERS, little_endian_bytes, too_large, type_name
from wdist.data.sources.source import FiniteSource, SelectedRows
from wdist.errors import SourceError

MINIMUM_ROWS = 20
"""Fewest samples that can be split into training, validation and held-out parts."""
_WORST = 3
"""Columns whose missing values are counted in a sentence."""
_BYTES_AT_ONCE = 1 << 23
"""Size of a slab in float64; the process would keep the memory of much larger slabs."""


@dataclass(frozen=True, kw_only=True)
class Survey:
    """Result of one pass over a finite source."""

    nonfinite: np.ndarray
    """Sorted numbers of the rows with NaN or infinity."""
    infinite: bool
    """Whether one of them holds infinity."""
    minimum: float | None
    """Smallest value of the finite rows, in the units of the source; None if no row is finite."""
    maximum: float | None
    magnitude: float
    """Largest absolute value of the finite rows, as stored; 0 if no row is finite."""
    constant: bool
    """True if all finite rows are equal."""
    digest: str
    """SHA-256 of type, event shape and all stored values, in hexadecimal."""


def survey(source: FiniteSource, progress: Callable[[float], None] = lambda fraction: None) -> Survey:
    """Reads a source once, in slabs; ``progress`` is told which fraction has been read."""
    info = source.info
    digest: hashlib._Hash | None = None
    nonfinite: list[np.ndarray] = []
    low, high = np.inf, -np.inf
    first: Tensor | None = None
    constant, infinite = True, False
    for start, stored in source.stored.slabs(max(1, _BYTES_AT_ONCE // (8 * info.dim))):
        if digest is None:
            shape = tuple(source.stored.info.event_shape)
            digest = hashlib.sha256(f"{type_name(stored.dtype)} {shape}{_levels(source)}\n".encode())
        digest.update(little_endian_bytes(stored))
        progress((start + len(stored)) / source.count)
        rows = source.coordinates(stored)
        if rows.is_floating_point():
            finite = torch.isfinite(rows).all(dim=1)
            if not finite.all():
                nonfinite.append(start + torch.nonzero(~finite).flatten().numpy())
                infinite = infinite or bool(torch.isinf(rows).any())
                rows = rows[finite]
        if not len(rows):
            continue
        low, high = min(low, float(rows.min())), max(high, float(rows.max()))
        first = rows[:1].clone() if first is None else first
        constant = constant and bool((rows == first).all())
    assert digest is not None, "a source has rows"
    found = first is not None
    return Survey(
        nonfinite=np.concatenate(nonfinite) if nonfinite else np.empty(0, dtype=np.int64),
        infinite=infinite,
        minimum=low * info.scale + info.offset if found else None,
        maximum=high * info.scale + info.offset if found else None,
        magnitude=max(-low, high) if found else 0.0,
        constant=constant and found,
        digest=digest.hexdigest(),
    )


def _levels(source: FiniteSource) -> str:
    """The levels of the categories of a table, which give a meaning to the numbers that stand for them."""
    levels = [column.levels for column in source.stored.info.columns or ()]
    return f" {levels}" if any(levels) else ""


def check_missing(source: FiniteSource) -> None:
    """Refuses a table with missing values, with their number in the columns that have most."""
    columns = source.info.columns
    if columns is None:
        return
    counts, rows_missing = torch.zeros(len(columns), dtype=torch.int64), 0
    for _, rows in source.slabs(max(1, _BYTES_AT_ONCE // (8 * source.info.dim))):
        missing = torch.isnan(rows[:, [column.start for column in columns]])
        counts, rows_missing = counts + missing.sum(dim=0), rows_missing + int(missing.any(dim=1).sum())
    if not rows_missing:
        return
    worst = sorted(range(len(columns)), key=lambda k: -int(counts[k]))
    shown = ", ".join(f"{columns[k].name} {int(counts[k])}" for k in worst[:_WORST] if counts[k])
    more = ", ..." if int((counts > 0).sum()) > _WORST else ""
    holds = "rows misses a value" if rows_missing == 1 else "rows miss values"
    raise SourceError(
        f"{source.info.address}: {rows_missing} of {source.count} {holds} ({shown}{more}); leave such rows out with --missing "
        f"drop, set missing values apart with --missing level, or choose other columns with ?columns="
    )


def finite_rows(source: FiniteSource, found: Survey, access: Access) -> FiniteSource:
    """The rows of a source that a distance can be computed from: those without NaN and infinity.

    Refused: nonfinite rows without ``drop_nonfinite``, fewer than :data:`MINIMUM_ROWS`, integers too large to be exact, and values
    outside the interval that the user declared.
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
        raise SourceError(f"{info.address} holds {source.count} usable {samples}; give at least {MINIMUM_ROWS}")
    if info.dtype in ("int64", "uint64") and found.magnitude >= EXACT_INTEGERS:
        raise too_large(info.address, f"{found.magnitude:g}")
    if info.bounds is not None and found.minimum is not None and found.maximum is not None:
        low, high = info.bounds
        slack = 1e-9 * (high - low)
        if found.minimum < low - slack or found.maximum > high + slack:
            raise SourceError(
                f"{info.address}: values range from {found.minimum:g} to {found.maximum:g}, outside of {low:g} to {high:g} "
                f"as declared by stored=; correct stored= in the address"
            )
    return source
