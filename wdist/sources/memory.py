"""How much memory a source may take: asked before anything large is read."""

import sys
from pathlib import Path

import psutil

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60


def free_memory() -> int:
    """Bytes that this process may still take: the least of what the machine, the process limit and the control group leave."""
    return max(0, min(psutil.virtual_memory().available, _process_headroom(), _cgroup_headroom(_CGROUP)))


def fits(nbytes: int) -> bool:
    """Whether ``nbytes`` take at most half of the free memory, the rule by which a source is loaded or streamed."""
    return nbytes <= free_memory() // 2


def size_text(nbytes: int) -> str:
    """``1.5 GB`` and the like."""
    size = float(nbytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"


def _process_headroom() -> int:
    """Bytes up to the limit of the address space (``ulimit -v``)."""
    if sys.platform == "win32":
        return _UNLIMITED
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _UNLIMITED if limit == resource.RLIM_INFINITY else limit - psutil.Process().memory_info().vms


def _cgroup_headroom(root: Path) -> int:
    """Bytes up to the limit of the control group (version 2) or of one that it stands in; a container's limit is one."""
    try:
        own = [line[3:] for line in Path("/proc/self/cgroup").read_text().splitlines() if line.startswith("0::")]
    except OSError:
        return _UNLIMITED
    group = root / own[0].strip().lstrip("/") if own else root
    return min((_group_headroom(path) for path in (group, *group.parents) if path.is_relative_to(root)), default=_UNLIMITED)


def _group_headroom(group: Path) -> int:
    try:
        limit = (group / "memory.max").read_text().strip()
        current = int((group / "memory.current").read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file at the root, or another version
        return _UNLIMITED
    # The file cache counts as used but is given back when asked for.
    return _UNLIMITED if limit == "max" else int(limit) - current + int(statistics.get("inactive_file", 0))
