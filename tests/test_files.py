"""Files are checked before the work and written whole or not at all."""

import os
import resource
from contextlib import contextmanager
from pathlib import Path

import pytest

from wdist.errors import OutputError
from wdist.files import atomic_write, check_writable


@contextmanager
def full_disk(free_bytes):
    """Lets no file of this process grow beyond a size, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (free_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_file_is_written_with_the_usual_permissions(tmp_path):
    path = tmp_path / "result.json"
    atomic_write(path, b"content")
    ordinary = tmp_path / "ordinary"
    ordinary.write_bytes(b"")
    assert path.read_bytes() == b"content"
    assert path.stat().st_mode == ordinary.stat().st_mode
    assert sorted(os.listdir(tmp_path)) == ["ordinary", "result.json"]


def test_a_full_disk_leaves_the_old_file_and_no_half_written_one(tmp_path):
    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    with full_disk(100), pytest.raises(OutputError, match="disk is full"):
        atomic_write(path, b"x" * 10_000)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["result.json"]


def test_a_symbolic_link_stays_one(tmp_path):
    target = tmp_path / "target.json"
    target.write_bytes(b"old")
    link = tmp_path / "link.json"
    link.symlink_to(target)
    atomic_write(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_device_is_written_to_and_not_replaced():
    path = Path(os.devnull)
    check_writable(path, option="-o")
    atomic_write(path, b"content")
    assert not path.is_file()


def test_a_directory_that_is_missing_is_refused(tmp_path):
    with pytest.raises(OutputError, match=r"no directory .*missing"):
        check_writable(tmp_path / "missing" / "x.json", option="-o")


def test_a_directory_in_place_of_a_file_is_refused(tmp_path):
    with pytest.raises(OutputError, match="is a directory; name a file in it"):
        check_writable(tmp_path, option="-o")


def test_a_suffix_that_cannot_be_drawn_is_refused_with_those_that_can(tmp_path):
    with pytest.raises(OutputError, match=r"must end in \.png, \.svg or \.pdf"):
        check_writable(tmp_path / "x.gif", option="--plot", suffixes=(".png", ".svg", ".pdf"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_without_write_permission_is_refused(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written to"):
        check_writable(tmp_path / "x.json", option="-o")


def test_the_check_leaves_nothing_behind(tmp_path):
    check_writable(tmp_path / "x.json", option="-o")
    assert os.listdir(tmp_path) == []
