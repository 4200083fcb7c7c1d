"""How much memory a source may take: asked before anything large is read."""

import sys
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
    """Bytes up to the limit of the control group or of one that it stands in; a container's limit is one."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()]
    except OSError:
        return _UNLIMITED
    headroom = [_UNLIMITED]
    for _, controllers, name in lines:
        if controllers == "":
            headroom += [_group_headroom(group, _VERSION_2) for group in _upwards(root, name)]
        elif "memory" in controllers.split(","):
            headroom += [_group_headroom(group, _VERSION_1) for group in _upwards(root / "memory", name)]
    return min(headroom)


def _upwards(root: Path, name: str) -> list[Path]:
    """A control group and all that it stands in; inside a container its name may lead nowhere, and the root is its own."""
    group = root / name.lstrip("/")
    return [path for path in (group, *group.parents) if path.is_relative_to(root)]


def _group_headroom(group: Path, names: tuple[str, str, str]) -> int:
    limit_name, usage_name, cache_name = names
    try:
        limit = (group / limit_name).read_text().strip()
        usage = int((group / usage_name).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such file at the root, or another version
        return _UNLIMITED
    # The file cache counts as used but is given back when asked for.
    return _UNLIMITED if limit == "max" else int(limit) - usage + int(statistics.get(cache_name, 0))
