"""Free memory under the limits of machine, process and control group."""

import platform
import subprocess
import sys

import numpy as np
import psutil
import pytest
import torch

from wdist.data import memory
from wdist.ground_metric import L2
from wdist.transport.coupling import solve


def test_free_memory_is_the_least_of_all_limits(monkeypatch, tmp_path):
    assert 0 < memory.free_memory() <= psutil.virtual_memory().total
    monkeypatch.setattr(memory, "_process_headroom", lambda: 1000)
    assert memory.free_memory() == 1000
    assert memory.fits(500)
    assert not memory.fits(501)


def test_the_limit_of_a_control_group_counts_without_its_cache(tmp_path):
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 500\ninactive_file 150\n")
    assert memory._group_headroom(tmp_path, memory._VERSION_2) == 450
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._group_headroom(tmp_path, memory._VERSION_2) > 1e15
    assert memory._group_headroom(tmp_path / "none", memory._VERSION_2) > 1e15


def test_plans_count_on_the_same_memory_until_half_of_it_is_taken(monkeypatch):
    monkeypatch.setattr(memory, "all_memory", lambda: 1000)
    for free in (1000, 700, 500):
        monkeypatch.setattr(memory, "free_memory", lambda free=free: free)
        assert memory.planned_memory() == 250
        assert not memory.lacking_memory(250)
        assert not memory.lacking_memory(251), "too much for this machine at any time"
    monkeypatch.setattr(memory, "free_memory", lambda: 300)
    assert memory.planned_memory() == 150
    assert not memory.lacking_memory(150)
    assert memory.lacking_memory(151)
    assert not memory.lacking_memory(251)


def test_all_memory_is_what_the_limits_leave(monkeypatch, tmp_path):
    assert memory.free_memory() <= memory.all_memory() <= psutil.virtual_memory().total
    monkeypatch.setattr(memory, "_process_limit", lambda: 1000)
    assert memory.all_memory() == 1000
    (tmp_path / "memory.max").write_text("700\n")
    assert memory._group_limit(tmp_path, memory._VERSION_2) == 700
    (tmp_path / "memory.max").write_text("max\n")
    assert memory._group_limit(tmp_path, memory._VERSION_2) > 1e15


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries return memory on their own")
def test_freed_memory_is_given_back_to_the_system():
    """Between pieces that stay, which is what keeps glibc from returning it."""
    pieces = [np.ones(12_000) for _ in range(800)]  # of 96 kB: larger ones have pages of their own
    kept = pieces[::100]
    held = psutil.Process().memory_info().rss
    del pieces
    memory.give_back_memory()
    assert psutil.Process().memory_info().rss < held - (1 << 25)
    assert len(kept) == 8


_BLOCKS = """
import numpy as np, psutil
from wdist.data.memory import return_large_blocks

return_large_blocks()
for size in (30, 20):  # once a block is freed, glibc keeps those up to its size
    del (block := [np.ones(size << 17)])[:]
large, small = [], []
for _ in range(12):
    large.append(np.ones(20 << 17))
    small.append(np.ones(1 << 12))
held = psutil.Process().memory_info().rss
large.clear()
print(held - psutil.Process().memory_info().rss)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries return memory on their own")
def test_large_blocks_between_pieces_that_stay_are_returned_at_once():
    """Without this, a stream of large samples holds several blocks for each one that it uses."""
    ended = subprocess.run([sys.executable, "-c", _BLOCKS], capture_output=True, text=True, check=True)
    assert int(ended.stdout) > 200 << 20


def test_what_cannot_be_allocated_is_an_error_and_not_the_end_of_the_process(monkeypatch):
    """POT is C++ that ends the process if an allocation fails."""
    monkeypatch.setattr(memory, "free_memory", lambda: 1 << 27)
    memory.check_free(1 << 26)
    with pytest.raises(MemoryError, match="134 MB of memory are needed"):
        memory.check_free(1 << 27)
    x = torch.zeros(1500, 2)
    with pytest.raises(MemoryError):
        solve(x, x, np.full(1500, 1 / 1500), np.full(1500, 1 / 1500), L2)
