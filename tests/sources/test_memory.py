"""How much memory there is."""

import psutil

from wdist.sources import memory


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
