"""Sets in several files, and archives: complete, alike, read in place; everything else is refused in a sentence."""

import io
import os
import tarfile

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.data.sources.conftest import (
    ROWS,
    image_bytes,
    npy_bytes,
    refused,
    write_npy_parts,
    write_shards,
    write_tar,
    write_tar_of_arrays,
    write_tars_of_images,
)
from wdist.data import survey_cache
from wdist.data.inputs import reads
from wdist.data.inspection import inspect_source
from wdist.data.sources.opening import open_source
from wdist.data.survey import key_of
from wdist.errors import SourceError

IMAGE = np.zeros((4, 4), dtype=np.uint8)


def test_rows_of_several_parts_are_chosen_by_their_numbers_in_all(tmp_path):
    source = open_source(write_npy_parts(tmp_path))
    assert source.info.notes == ("4 parts, in the order of their names",)
    numbers = np.array([0, 12, 13, 14, 39, 59])
    assert torch.equal(source.read(numbers), torch.from_numpy(ROWS.reshape(60, 6)[numbers]))
    chosen = open_source(f"{tmp_path}/parts/x-[02].npy?rows=5:20")
    assert torch.equal(chosen.read(slice(0, 15)), torch.from_numpy(np.concatenate([ROWS[:13], ROWS[14:40]])[5:20].reshape(15, 6)))


def test_a_missing_shard_is_named(tmp_path):
    address = write_shards(tmp_path)
    (tmp_path / "model-00002-of-00003.safetensors").unlink()
    refused(address, r"lacks model-00002-of-00003\.safetensors; copy the missing parts")


def test_parts_that_differ_are_refused(tmp_path):
    address = write_npy_parts(tmp_path)
    np.save(tmp_path / "parts" / "y.npy", ROWS.reshape(60, 6))
    refused(address, r"y\.npy has samples of shape \(6,\), .*x-0\.npy has \(2, 3\); choose parts that agree")
    np.save(tmp_path / "parts" / "y.npy", ROWS.astype(np.float64))
    refused(address, r"y\.npy has values of type float64, .*x-0\.npy has float32")
    (tmp_path / "parts" / "y.npy").unlink()
    save_file({"x": torch.ones(3)}, tmp_path / "parts" / "z.safetensors")
    refused(address, r"holds files of several kinds \(\.npy, \.safetensors\); name those of one kind: '.*parts/\*\.npy'")
    refused(f"{tmp_path}/parts/*.csv", "matches no file; correct the pattern")
    refused(f"{tmp_path}/parts/*", "holds files of several kinds")
    (tmp_path / "parts" / "a.png").touch()
    refused(
        f"{tmp_path}/parts/*.png",
        r"matches files of other kinds \(\.png\), but a pattern joins only .*; name the folder of images",
    )


def test_a_damaged_part_is_refused_by_its_own_name(tmp_path):
    address = write_npy_parts(tmp_path)
    path = tmp_path / "parts" / "x-2.npy"
    path.write_bytes(path.read_bytes()[:-3])
    refused(address, r"x-2\.npy is cut short")


def test_a_part_that_changes_while_it_is_read_is_noticed(tmp_path):
    source = open_source(write_npy_parts(tmp_path))
    np.save(tmp_path / "parts" / "x-2.npy", ROWS[:5])
    assert len(source.read(slice(0, 13))) == 13
    with pytest.raises(SourceError, match=r"x-2\.npy changed while it was read"):
        source.read(slice(0, 60))


def test_a_folder_with_images_is_a_folder_of_images(tmp_path):
    folder = tmp_path / "images"
    (folder / "class").mkdir(parents=True)
    for number in range(3):
        (folder / "class" / f"{number}.png").write_bytes(image_bytes(IMAGE))
    np.save(folder / "statistics.npy", ROWS)
    assert open_source(folder).info.kind == "image-folder"


def test_members_of_one_kind_are_chosen_by_the_key(tmp_path):
    random = np.random.default_rng(0)
    arrays, images = random.normal(size=(5, 3)), random.integers(0, 256, (5, 4, 6), dtype=np.uint8)
    members = {f"{k}.npy": npy_bytes(arrays[k]) for k in range(5)} | {f"{k}.seg.PNG": image_bytes(images[k]) for k in range(5)}
    address = write_tar(tmp_path / "x.tar", members | {"0.txt": b"text", ".hidden.npy": b"", "folder/.x.png": b""})
    refused(address, r"holds members of 2 kinds \(npy: 5, seg\.png: 5\); name one: .*x\.tar:npy")
    refused(f"{address}:jpg", r"no images or arrays of the kind 'jpg'; name another kind \(npy: 5, seg\.png: 5\)")
    assert np.array_equal(open_source(f"{address}:npy").read(slice(0, 5)).numpy(), arrays)
    pixels = open_source(f"{address}:seg.png")
    assert pixels.info.event_shape == (4, 6)
    assert np.array_equal(pixels.read(slice(0, 5)).numpy(), images.reshape(5, 24))
    assert open_source(f"{address}:seg.png?size=2").info.event_shape == (2, 2)


def test_images_of_several_formats_are_one_kind_unless_they_share_names(tmp_path):
    """Like a folder of them; a PNG and a JPEG of the same name are two versions of one sample."""
    images = np.random.default_rng(0).integers(0, 256, (6, 4, 6), dtype=np.uint8)
    formats = ("png", "bmp", "png", "ppm", "PNG", "bmp")
    members = {f"{k}.{name}": image_bytes(images[k], name.lower()) for k, name in enumerate(formats)}
    address = write_tar(tmp_path / "x.tar", members | {"0.txt": b"text"})
    assert np.array_equal(open_source(address).read(slice(0, 6)).numpy(), images.reshape(6, 24))
    assert open_source(f"{address}:bmp").info.count == 2
    twice = write_tar(tmp_path / "y.tar", members | {"1.png": image_bytes(images[0])})
    refused(twice, r"holds members of 3 kinds \(png: 4, bmp: 2, ppm: 1\); name one: .*y\.tar:png")


def test_an_archive_without_samples_is_refused(tmp_path):
    refused(write_tar(tmp_path / "x.tar", {"a.txt": b"1", "b.json": b"{}"}), r"no images and no \.npy arrays, only txt, json")
    refused(write_tar(tmp_path / "y.tar", {}), r"no images and no \.npy arrays; give another archive")


@pytest.mark.parametrize("share", [0.3, 0.5, 0.77, 0.9])
def test_a_truncated_archive_is_refused(tmp_path, share):
    path = tmp_path / "x.tar"
    write_tar(path, {f"{k}.npy": npy_bytes(ROWS[k]) for k in range(40)})
    data = path.read_bytes()
    path.write_bytes(data[: int(share * 40 * 1024)])
    refused(str(path), r"x\.tar is damaged, cut short, or no tar archive")


def test_files_that_are_no_plain_archives_are_refused(tmp_path):
    (tmp_path / "x.tar").write_bytes(b"something else" * 100)
    refused(f"{tmp_path}/x.tar", r"x\.tar is damaged, cut short, or no tar archive")
    with tarfile.open(tmp_path / "y.tar", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("a.npy"), io.BytesIO())
    refused(f"{tmp_path}/y.tar", r"y\.tar is compressed, so its members cannot be read in place; unpack it")


def test_links_and_folders_in_an_archive_lead_nowhere(tmp_path):
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as archive:
        for name, kind in (
            ("a.npy", tarfile.SYMTYPE),
            ("b.npy", tarfile.LNKTYPE),
            ("c.npy", tarfile.DIRTYPE),
            ("d.npy", tarfile.FIFOTYPE),
        ):
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        member = tarfile.TarInfo("../../outside.npy")
        content = npy_bytes(ROWS[0])
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    source = open_source(str(path))
    assert source.count == 1
    assert not list(tmp_path.parent.rglob("outside.npy"))


def test_members_that_differ_from_the_first_or_are_damaged_are_named(tmp_path):
    def read(second):
        source = open_source(write_tar(tmp_path / "x.tar", {"0.npy": npy_bytes(np.ones(3)), "1.npy": second}))
        source.read(slice(0, 2))

    for second, words in (
        (npy_bytes(np.ones(4)), r"1\.npy has the shape \(4,\), but the first sample \(3,\); save all samples in one shape"),
        (npy_bytes(np.ones(3, dtype=np.float32)), r"1\.npy has the type float32, but the first one float64"),
        (npy_bytes(np.ones(3))[:-4], r"1\.npy is damaged, cut short, or not a \.npy array"),
        (npy_bytes(np.array([{}] * 3, dtype=object)), r"1\.npy holds Python objects|1\.npy is damaged"),
        (b"", r"1\.npy is damaged"),
    ):
        with pytest.raises(SourceError, match=words):
            read(second)
    refused(write_tar(tmp_path / "y.tar", {"0.png": b""}), r"0\.png cannot be read as an image \(empty\)")


def test_a_changed_archive_is_noticed(tmp_path):
    path = write_tar_of_arrays(tmp_path)
    source = open_source(path)
    with open(path, "ab") as file:
        file.write(bytes(512))
    with pytest.raises(SourceError, match=r"x\.tar changed while it was read"):
        source.read(slice(0, 3))


def test_sets_in_parts_are_inspected(tmp_path):
    found = inspect_source(write_tars_of_images(tmp_path))
    assert found.contents == (
        "images-0.tar: png: 12 members, seg.png: 12 members",
        "images-1.tar: png: 12 members, seg.png: 12 members",
    )
    assert (found.kind, found.samples) == ("tar-archive", 24)
    found = inspect_source(write_shards(tmp_path))
    assert found.contents[0] == "model-00001-of-00003.safetensors: x: 13x2x3 F32, y: 13 I64"
    closed = inspect_source(f"{tmp_path}/model-*.safetensors")
    assert "name one" in closed.missing[0]
    assert len(closed.contents) == 3


@pytest.mark.parametrize("write", [write_npy_parts, write_shards, write_tars_of_images])
def test_no_output_may_overwrite_or_join_the_parts(tmp_path, write):
    address = write(tmp_path)
    first = sorted(path for path in tmp_path.rglob("*") if path.is_file())[0]
    assert reads(address, first)
    assert reads(address, first.with_stem(f"{first.stem[:-1]}9") if write is write_npy_parts else first)
    assert not reads(address, tmp_path / "result.json")


def test_the_versions_of_all_parts_identify_a_set(tmp_path, monkeypatch):
    monkeypatch.setattr(survey_cache, "_LEAST_BYTES", 0)
    monkeypatch.setattr("wdist.files._RACY_SECONDS", -1.0)
    for write in (write_npy_parts, write_tars_of_images):
        folder = tmp_path / write.__name__
        folder.mkdir()
        address = write(folder)
        before = key_of(open_source(address))
        assert before is not None
        assert before == key_of(open_source(address))
        last = sorted(path for path in folder.rglob("*") if path.is_file())[-1]
        os.utime(last, (0, 0))
        assert before != key_of(open_source(address))


def test_members_are_read_alike_whatever_their_header_and_order_in_memory(tmp_path):
    """Those whose header differs from that of the first are parsed by numpy, the others are not."""
    rows = np.arange(24.0, dtype=np.float32).reshape(4, 2, 3)
    version_2 = io.BytesIO()
    np.lib.format.write_array(version_2, rows[2], version=(2, 0))
    rest = {"1.npy": npy_bytes(np.asfortranarray(rows[1])), "2.npy": version_2.getvalue(), "3.npy": npy_bytes(rows[3])}
    for first in (rows[0], np.asfortranarray(rows[0])):
        source = open_source(write_tar(tmp_path / "x.tar", {"0.npy": npy_bytes(first), **rest}))
        assert np.array_equal(source.read(slice(0, 4)).numpy(), rows.reshape(4, 6))
        assert np.array_equal(source.read(np.array([1, 3])).numpy(), rows[[1, 3]].reshape(2, 6))
    numbers = open_source(write_tar(tmp_path / "y.tar", {f"{k}.npy": npy_bytes(np.array(k, dtype=">f8")) for k in range(3)}))
    assert numbers.read(slice(0, 3)).flatten().tolist() == [0, 1, 2]
