"""Rows made of arrays."""

from typing import Any

import numpy as np

from wdist.data.rows import ResidentRows
from wdist.data.sources.arrays import open_values


def rows(x: Any) -> ResidentRows:
    """All samples of an array, in memory."""
    source = open_values(np.asarray(x, dtype=np.float64))
    return ResidentRows(values=source.read(slice(0, source.count)), info=source.info)
