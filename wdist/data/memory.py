"""How much memory a source may take: asked before anything large is read."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
"""Files of a control group that hold limit and usage, and the part of ``memory.stat`` that is cache."""


def free_memory() -> int:
    """Bytes that this process may still take: the least of what the machine, the process limit and the control group leave."""
    return max(0, min(psutil.virtual_memory().available, _process_headroom(), _cgroup_headroom(_CGROUP)))


def fits(nbytes: int) -> bool:
    """Whether ``nbytes`` take at most half of the free memory, the rule by which a source is loaded or streamed."""
    return nbytes <= free_memory() // 2


def all_memory() -> int:
    """Bytes that this process could have if nothing else ran: the least of what the machine and the limits allow."""
    limits = [psutil.virtual_memory().total, _process_limit(), *_cgroup_limits(_CGROUP)]
    return max(0, min(limits))


def planned_memory() -> int:
    """Bytes that a plan may count on: a quarter of all there is, and never more than half of what is free.

    Where a choice between two ways of computing changes digits it is made by this number, which is the same in every run on a
    machine as long as half of its memory is free.
    """
    return min(all_memory() // 4, free_memory() // 2)


def give_back_memory() -> None:
    """Returns what was freed to the system, where the C library keeps it otherwise (glibc: ``malloc_trim``).

    Between two trainings glibc may keep as much as the largest pieces of either took, which came to 10 % of a set of 2 GB.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def lacking_memory(nbytes: int) -> bool:
    """Whether a plan that takes ``nbytes`` is given up only because other processes hold the memory at the moment."""
    return planned_memory() < nbytes <= all_memory() // 4


def size_text(nbytes: int) -> str:
    """``1.5 GB`` and the like."""
    size = float(nbytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"


def _process_limit() -> int:
    """Bytes that the address space may have (``ulimit -v``)."""
    if sys.platform == "win32":
        return _UNLIMITED
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _process_headroom() -> int:
    """Bytes up to the limit of the address space."""
    limit = _process_limit()
    return limit if limit == _UNLIMITED else limit - psutil.Process().memory_info().vms


def _cgroup_headroom(root: Path) -> int:
    """Bytes up to the limit of the control group or of one that it stands in; a container's limit is one."""
    return min((_group_headroom(group, names) for group, names in _groups(root)), default=_UNLIMITED)


def _cgroup_limits(root: Path) -> list[int]:
    """Those limits themselves."""
    return [_group_limit(group, names) for group, names in _groups(root)]


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """The control groups that limit this process, and the names of their files."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return
    for _, controllers, name in lines:
        if controllers == "":
            yield from ((group, _VERSION_2) for group in _upwards(root, name))
        elif "memory" in controllers.split(","):
            yield from ((group, _VERSION_1) for group in _upwards(root / "memory", name))


def _upwards(root: Path, name: str) -> list[Path]:
    """A control group and all that it stands in; inside a container its name may lead nowhere, and the root is its own."""
    group = root / name.lstrip("/")
    return [path for path in (group, *group.parents) if path.is_relative_to(root)]


def _group_headroom(group: Path, names: tuple[str, str, str]) -> int:
    _, usage_name, cache_name = names
    try:
        usage = int((group / usage_name).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file at the root, or another version
        return _UNLIMITED
    # The file cache counts as used but is given back when asked for.
    limit = _group_limit(group, names)
    return _UNLIMITED if limit == _UNLIMITED else limit - usage + int(statistics.get(cache_name, 0))


def _group_limit(group: Path, names: tuple[str, str, str]) -> int:
    try:
        limit = (group / names[0]).read_text().strip()
        return _UNLIMITED if limit == "max" else int(limit)
    except (OSError, ValueError):
        return _UNLIMITED
