"""Memory that a source may take, checked before anything large is read."""

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from wdist.distributed.job import processes_here
from wdist.distributed.processes import processes

_CGROUP = Path("/sys/fs/cgroup")
_UNLIMITED = 1 << 60
_SPARE = 1 << 25
_MMAP_THRESHOLD, _TRIM_THRESHOLD, _LARGE_BLOCK = -3, -1, 12 << 20
"""Names of glibc's settings, and the size of a block that is returned to the system once it is freed."""
_VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
_VERSION_2 = ("memory.max", "memory.current", "inactive_file")
"""Files of a control group with its limit and usage, and the entry of ``memory.stat`` for its cache."""


def free_memory() -> int:
    """Bytes that this process may still allocate, by the machine, the process limit and the control group."""
    groups = (_group_headroom(group, names) for group, names in _groups(_CGROUP))
    return max(0, min(psutil.virtual_memory().available, _process_headroom(), *groups))


def fits(nbytes: int) -> bool:
    """True if ``nbytes`` are at most half of the free memory, which processes of a machine share; larger sources are streamed."""
    return bool(processes().decided(nbytes <= free_memory() // 2 // processes_here()))


def all_memory() -> int:
    """Bytes that this process could allocate if nothing else ran."""
    groups = (_group_limit(group, names) for group, names in _groups(_CGROUP))
    return max(0, min(psutil.virtual_memory().total, _process_limit(), *groups))


def planned_memory() -> int:
    """Bytes that a plan may use: a quarter of all memory, but at most half of the free memory; the processes of a job divide it.

    Every choice of an algorithm that changes digits depends on this number, because it is the same in every run as long as half of
    the memory is free.
    """
    return int(processes().decided(min(all_memory() // 4, free_memory() // 2) // processes_here()))


def check_free(nbytes: int) -> None:
    """Raises MemoryError if ``nbytes`` and some more are not free: C++ code that allocates them would end the process."""
    if free_memory() < nbytes + _SPARE:
        raise MemoryError(f"{size_text(nbytes)} of memory are needed, and {size_text(free_memory())} are free")


def give_back_memory() -> None:
    """Returns freed memory to the system if the C library would keep it (glibc: ``malloc_trim``)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)


def return_large_blocks() -> None:
    """Makes the C library return freed blocks of at least 12 MB to the system at once (glibc: ``mallopt``).

    Otherwise glibc keeps blocks of up to 32 MB from the first one on that is freed, and small blocks among them hold them for good:
    a stream of large samples then takes a quarter more memory. Smaller blocks are kept, because asking the system for each of them
    would slow training down.
    """
    choose = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if choose is not None:
        choose(_MMAP_THRESHOLD, _LARGE_BLOCK)
        choose(_TRIM_THRESHOLD, 2 * _LARGE_BLOCK)  # as glibc would choose it


def lacking_memory(nbytes: int) -> bool:
    """True if a plan for ``nbytes`` fails only because other processes hold memory at the moment."""
    return planned_memory() < nbytes <= all_memory() // 4 // processes_here()


def size_text(nbytes: int) -> str:
    """A size in words, such as ``1.5 GB``."""
    size = float(nbytes)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} PB"


def _process_limit() -> int:
    """Limit of the address space in bytes (``ulimit -v``)."""
    if sys.platform == "win32":
        return _UNLIMITED
    import resource

    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return _UNLIMITED if limit == resource.RLIM_INFINITY else limit


def _process_headroom() -> int:
    limit = _process_limit()
    return limit if limit == _UNLIMITED else limit - psutil.Process().memory_info().vms


def _groups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Control groups that limit this process, such as those of a container, with the names of their files."""
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
    """A control group and its ancestors; inside a container, its name may not exist, and the root is the group of the container."""
    group = root / name.lstrip("/")
    return [path for path in (group, *group.parents) if path.is_relative_to(root)]


def _group_headroom(group: Path, names: tuple[str, str, str]) -> int:
    _, usage_name, cache_name = names
    try:
        usage = int((group / usage_name).read_text())
        statistics = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # the root has no such file, or the version differs
        return _UNLIMITED
    # The file cache counts as used but is freed on demand.
    limit = _group_limit(group, names)
    return _UNLIMITED if limit == _UNLIMITED else limit - usage + int(statistics.get(cache_name, 0))


def _group_limit(group: Path, names: tuple[str, str, str]) -> int:
    try:
        limit = (group / names[0]).read_text().strip()
        return _UNLIMITED if limit == "max" else int(limit)
    except (OSError, ValueError):
        return _UNLIMITED
