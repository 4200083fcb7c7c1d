"""Files are checked before the work and written whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.damage import full_disk
from wdist import files
from wdist.errors import OutputError
from wdist.files import atomic_write, check_writable, locked


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


def left_behind(folder):
    """Files that a process leaves in a folder when SIGKILL ends it in the middle of writing."""
    script = "import os, signal, sys; from pathlib import Path; from wdist import files\n"
    script += "files.os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
    script += "files.atomic_write(Path(sys.argv[1]), b'half')"
    done = subprocess.run([sys.executable, "-c", script, str(folder / "result.json")], env=environment(), check=False)
    assert done.returncode == -signal.SIGKILL
    return os.listdir(folder)


def environment():
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}


def test_what_a_killed_process_left_is_removed_by_the_next_write_and_what_others_write_is_not(tmp_path):
    assert len(left_behind(tmp_path)) == 1
    (tmp_path / "download.part").write_bytes(b"of another program")
    os.mkfifo(tmp_path / ".wdist-pipe.part")
    with files._temporary(tmp_path) as being_written:
        being_written.write(b"x")
        atomic_write(tmp_path / "other.json", b"content")
        assert Path(being_written.name).exists()
        assert sorted(os.listdir(tmp_path)) == sorted(
            [Path(being_written.name).name, ".wdist-pipe.part", "download.part", "other.json"]
        )


def test_a_long_name_can_be_written(tmp_path):
    path = tmp_path / ("x" * 250 + ".json")
    check_writable(path, option="-o")
    atomic_write(path, b"content")
    assert path.read_bytes() == b"content"


LOCK = """
import sys, time
from pathlib import Path
from wdist.errors import OutputError
from wdist.files import locked
try:
    with locked(Path(sys.argv[1]), option="-o"):
        print("held", flush=True)
        time.sleep(60)
except OutputError as error:
    print(error)
"""


def test_a_folder_is_locked_until_its_process_is_gone(tmp_path):
    folder = tmp_path / "a" / "b"
    command = [sys.executable, "-c", LOCK, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match=r"-o .* is in use by another wdist; wait"), locked(folder, option="-o"):
            pass
        holder.kill()
    with locked(folder, option="-o"):
        (folder / "content").write_bytes(b"")
    assert os.listdir(folder) == ["content"]


def test_a_folder_that_stays_empty_is_removed_with_those_above_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "a" / "b", option="-o"):
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match=r"cannot be created .*; name"), locked(tmp_path / "file" / "x", option="-o"):
        pass
