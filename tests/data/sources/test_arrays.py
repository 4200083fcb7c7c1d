"""Array files: what they may hold, how little of them is read, and how they are refused."""

import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.data.sources.conftest import ARRAYS, ROWS, refused
from wdist.data.inspection import inspect_source
from wdist.data.sources import array_files, tables, text_tables
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError


def everything(source):
    return source.read(slice(0, source.count))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"])
def test_types_that_torch_computes_with_stay_as_they_are(dtype, tmp_path):
    np.save(tmp_path / "x.npy", np.arange(40).reshape(20, 2).astype(dtype))
    source = open_source(tmp_path / "x.npy")
    assert source.info.dtype == dtype
    assert everything(source).dtype == getattr(torch, dtype)


@pytest.mark.parametrize(("dtype", "read"), [("uint16", "int32"), ("uint32", "int64"), ("uint64", "float64"), (">i4", "int32")])
def test_other_types_are_read_in_the_narrowest_that_holds_them(dtype, read, tmp_path):
    values = np.array([[0, 1], [200, np.iinfo(dtype).max // 4 * 3]], dtype=dtype)
    np.save(tmp_path / "x.npy", values)
    rows = everything(open_source(tmp_path / "x.npy"))
    assert rows.dtype == getattr(torch, read)
    assert np.array_equal(rows.numpy().astype(np.float64), values.astype(np.float64))


@pytest.mark.parametrize(
    "largest", ["9007199254740993", "-9007199254740992", "+9007199254740993.5", "9007199254740993.", '"9007199254740993"']
)
def test_integers_of_a_table_that_float64_would_round_are_refused(largest, tmp_path):
    (tmp_path / "x.csv").write_text("a,k\n" + "1,2\n" * 30 + f"3,{largest}\n")
    words = "x.csv, column 'k': integers reach .*900719925474099.* where float64 cannot distinguish neighbours; "
    refused(f"{tmp_path}/x.csv", words + r"leave it out with \?without=k, or subtract an offset")


@pytest.mark.parametrize("text", ["9007199254740991", "1e20", "100000000000000000000.0", "nan", "-inf", "1.000000000000000000e+30"])
def test_numbers_of_a_table_that_float64_holds_as_written_are_read(text, tmp_path):
    (tmp_path / "x.csv").write_text("1,2\n" * 30 + f"3,{text}\n")
    assert str(float(everything(open_source(f"{tmp_path}/x.csv"))[-1, 1])) == str(float(text))


@pytest.mark.skipif(np.dtype(np.longdouble).itemsize == 8, reason="long double is float64 here")
def test_long_doubles_that_float64_would_round_to_another_integer_are_refused(tmp_path):
    fine = np.arange(40, dtype=np.longdouble).reshape(20, 2) / 3 * 2**40
    rounded = fine + np.longdouble(2) ** 53 + 1
    np.save(tmp_path / "fine.npy", fine)
    np.save(tmp_path / "rounded.npy", rounded)
    assert np.array_equal(everything(open_source(tmp_path / "fine.npy")).numpy(), fine.astype(np.float64))
    with h5py.File(tmp_path / "rounded.h5", "w") as file:
        file["x"] = rounded
    for source in (rounded, tmp_path / "rounded.npy", tmp_path / "rounded.h5"):
        with pytest.raises(SourceError, match="float64 cannot distinguish neighbours; subtract an offset"):
            everything(open_source(source))


def test_tensors_and_arrays_are_sources_without_a_file():
    values = torch.arange(60.0, requires_grad=True).reshape(20, 3)
    source = open_source(values)
    assert source.info.address == "<tensor>"
    assert torch.equal(everything(source), values.detach())
    assert open_source(values.detach().numpy()).info.address == "<array>"
    assert open_source([[1, 2], [3, 4]]).info.event_shape == (2,)
    assert open_source(source) is source


def test_a_list_of_numbers_is_samples_of_one_coordinate():
    source = open_source(np.arange(30.0))
    assert (source.info.event_shape, source.info.dim, source.count) == ((), 1, 30)


@pytest.mark.parametrize("dtype", [torch.uint16, torch.uint32, torch.bfloat16])
def test_tensor_types_beyond_numpy(dtype):
    values = torch.arange(40).reshape(20, 2).to(dtype)
    source = open_source(values)
    assert source.info.dtype == str(dtype).removeprefix("torch.")
    assert torch.equal(everything(source).double(), torch.arange(40).reshape(20, 2).double())


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.zeros((20, 2), dtype=complex), "complex"),
        (torch.zeros(20, 2, dtype=torch.complex64), "complex"),
        (torch.zeros(20, 2).to_sparse(), "sparse"),
        (torch.zeros(20, 2, device="meta"), "device meta, where tensors have no values"),
        (np.array(["a"] * 20), "strings"),
        (np.array([object()] * 20), "objects"),
        (np.zeros(20, dtype="datetime64[s]"), "dates"),
        (np.zeros(20, dtype=[("a", float)]), "records"),
        (np.ma.masked_array(np.zeros(20)), "masked"),
        (np.float64(3.0), "single number"),
        (torch.zeros(0, 3), "no values"),
        (torch.zeros(20, 0), "no values"),
        ([[1, 2], [3]], "array"),
    ],
)
def test_values_that_are_no_samples_are_refused(values, words):
    refused(values, words)


def test_one_dataset_needs_no_name_and_several_are_listed(tmp_path):
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["deep/down/x"] = ROWS
    assert open_source(tmp_path / "one.h5").count == 60
    assert open_source(f"{tmp_path}/one.h5:deep").count == 60
    ARRAYS["h5"](tmp_path)
    refused(f"{tmp_path}/a.h5", r"a\.h5 holds 2 datasets \(group/x, labels\); name one: .*a\.h5:group/x")
    refused(f"{tmp_path}/a.h5:lables", r"no dataset 'lables' \(it holds group/x, labels\)")
    assert open_source(f"{tmp_path}/a.h5:packed").count == 60, "a soft link may be named"
    refused(f"{ARRAYS['npz'](tmp_path)[:-2]}", r"holds 2 arrays \(x, y\)")
    refused(f"{ARRAYS['npz'](tmp_path)[:-1]}z", r"no array 'z'")
    refused(f"{ARRAYS['safetensors'](tmp_path)[:-2]}", "holds 2 tensors .*factory=")
    refused(f"{ARRAYS['pt'](tmp_path)[:-1]}z", "no tensor 'z'")
    refused(f"{ARRAYS['npy'](tmp_path)}:x", "leave out :x")


def test_weights_of_a_network_ask_for_a_factory(tmp_path):
    torch.save(torch.nn.Linear(3, 4).state_dict(), tmp_path / "net.pt")
    refused(f"{tmp_path}/net.pt", "weights of a network.*factory=")


@pytest.mark.parametrize("dtype", [h5py.string_dtype(), "S4", h5py.ref_dtype, np.complex64, h5py.vlen_dtype(np.float32)])
def test_datasets_of_other_things_than_numbers_are_refused(dtype, tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", (20,), dtype=dtype)
    refused(f"{tmp_path}/x.h5", "not numbers|complex")


def test_empty_datasets_are_refused(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["nothing"] = h5py.Empty("f")
        file["none"] = np.zeros((0, 3))
        file["single"] = 3.0
    refused(f"{tmp_path}/x.h5:nothing", "empty dataset")
    refused(f"{tmp_path}/x.h5:none", "no values")
    refused(f"{tmp_path}/x.h5:single", "single number")
    h5py.File(tmp_path / "empty.h5", "w").close()
    refused(f"{tmp_path}/empty.h5", "holds no dataset")


def write_linked(folder):
    """An HDF5 file that leads to another one, and to a pipe, in every way that the format knows; its own dataset can be read."""
    with h5py.File(folder / "other.h5", "w") as file:
        file["x"] = ROWS
    os.mkfifo(folder / "pipe.h5")
    with h5py.File(folder / "links.h5", "w") as file:
        for name in ("other", "pipe"):
            file[f"{name}-link"] = h5py.ExternalLink(f"{name}.h5", "/x")
            file[f"{name}-group"] = h5py.ExternalLink(f"{name}.h5", "/")
            file[f"{name}-soft"] = h5py.SoftLink(f"/{name}-link")
            file.create_dataset(f"{name}-raw", (60, 6), "f4", external=[(str(folder / f"{name}.h5"), 0, 1440)])
            whole = slice(0, h5py.h5s.UNLIMITED)
            layout = h5py.VirtualLayout((60, 3, 2), "f4", maxshape=(None, 3, 2))
            layout[whole] = h5py.VirtualSource(f"{name}.h5", "x", (60, 3, 2), maxshape=(None, 3, 2))[whole]
            file.create_virtual_dataset(f"{name}-virtual", layout)
        file["own"] = ROWS
        file["inner/link"] = h5py.SoftLink("/round/own")
        file["round"] = h5py.SoftLink("/")
        file["loop"] = h5py.SoftLink("loop")
    return f"{folder}/links.h5"


@pytest.mark.parametrize("name", ["other", "pipe"])
@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("link", "link to the file .*; name that file"),
        ("group/x", "link to the file .*; name that file"),
        ("soft", "link to the file .*; name that file"),
        ("raw", "in other files; copy"),
        ("virtual", "in other files; copy"),
    ],
)
def test_an_hdf5_file_that_leads_to_others_is_refused_and_does_not_open_them(way, words, name, tmp_path):
    refused(f"{write_linked(tmp_path)}:{name}-{way}", words)


def test_links_within_an_hdf5_file_are_followed(tmp_path):
    address = write_linked(tmp_path)
    for key in ("own", "round/own", "inner/link", "/round/round/inner/link"):
        assert open_source(f"{address}:{key}").count == 60
    for key in ("loop", "own/x", "missing/x"):
        refused(f"{address}:{key}", "no dataset")
    assert "other-virtual: in other files" in inspect_source(address).contents


def test_files_of_a_few_bytes_that_claim_terabytes_are_refused(tmp_path):
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("x", (2**40, 3), "f8", chunks=(1000, 3))
        file.create_dataset("late", (2**40, 3), "f8")
        file.create_dataset("chunk", (4, 2**30 - 1), "f4", chunks=(1, 2**30 - 1), compression="gzip", maxshape=(None, None))
        file.create_dataset("sparse", (10_000, 3), "f8", chunks=(1000, 3), fillvalue=0.5)
    torch.save({"wide": torch.ones(1).expand(2**40, 3), "narrow": torch.arange(3.0).expand(10_000, 3)}, tmp_path / "bomb.pt")
    for name in ("bomb.h5:x", "bomb.h5:late", "bomb.h5:chunk", "bomb.pt:wide"):
        refused(f"{tmp_path}/{name}", r"claims .* of values but stores only \d+ bytes; write all values")
    assert everything(open_source(f"{tmp_path}/bomb.h5:sparse")).unique().tolist() == [0.5]
    assert everything(open_source(f"{tmp_path}/bomb.pt:narrow"))[-1].tolist() == [0, 1, 2]


def test_chunks_that_do_not_fit_into_memory_are_refused(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", data=np.zeros((20, 50_000)), chunks=(20, 50_000))
    monkeypatch.setattr(array_files, "planned_memory", lambda: 7_000_000)
    refused(f"{tmp_path}/x.h5", "chunks of 8 MB, too large for memory; save it with smaller chunks")


CHANGES = {
    "written": lambda path: path.write_bytes(path.read_bytes()),
    "replaced": lambda path: (shutil.copy(path, f"{path}.new"), os.replace(f"{path}.new", path)),
    "cut": lambda path: os.truncate(path, path.stat().st_size // 2),
    "appended": lambda path: os.truncate(path, path.stat().st_size + 1),
    "removed": Path.unlink,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["h5", "npy", "npy-fortran", "pt", "safetensors"])
def test_a_file_that_changes_between_two_reads_is_noticed(name, change, tmp_path):
    path = path_of(address := ARRAYS[name](tmp_path))
    source = open_source(address)
    everything(source)
    CHANGES[change](path)
    with pytest.raises(SourceError, match="changed while it was read; start again when nothing writes to it"):
        everything(source)


@pytest.mark.parametrize("name", ["h5", "npy", "npy-fortran", "npz", "pt", "pt-old", "safetensors", "csv"])
def test_what_was_read_does_not_change_with_the_file(name, tmp_path):
    path = path_of(address := ARRAYS[name](tmp_path))
    rows = everything(open_source(address))
    before = rows.clone()
    with path.open("r+b") as file:
        file.write(b"\xff" * path.stat().st_size)
    assert torch.equal(rows, before)


def path_of(address):
    return Path(address if os.path.exists(address) else address.rpartition(":")[0])


@pytest.mark.parametrize("name", ["h5", "npy", "npy-fortran", "npz", "pt", "pt-old", "safetensors"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_files_that_are_cut_short_are_refused(name, share, tmp_path):
    path = path_of(address := ARRAYS[name](tmp_path))
    content = path.read_bytes()
    path.write_bytes(content[: max(1, int(share * len(content)))])
    refused(address, path.name)


@pytest.mark.parametrize("name", [*ARRAYS])
@pytest.mark.parametrize("content", [b"", b"\x00\xff\xfe no such format \x80" * 50], ids=["empty", "foreign"])
def test_empty_and_foreign_files_are_refused(name, content, tmp_path):
    path = path_of(address := ARRAYS[name](tmp_path))
    path.write_bytes(content)
    refused(address, path.name)


def test_missing_files_are_refused_with_the_name_that_was_meant(tmp_path):
    ARRAYS["npy"](tmp_path)
    refused(f"{tmp_path}/b.npy", "does not exist; did you mean 'a.npy'")
    refused(f"{tmp_path}/zzzzzzzz", "does not exist; name a file")
    (tmp_path / "gone.npy").symlink_to("moved-away.npy")
    refused(f"{tmp_path}/gone.npy", "is a link to moved-away.npy, which does not exist")
    (tmp_path / "round.npy").symlink_to("round.npy")
    refused(f"{tmp_path}/round.npy", "is a link to round.npy")
    refused("https://example.org/a.npy", "add download=True to copy it to this one")
    refused("torchvison:MNIST", "did you mean 'torchvision:...'")
    (tmp_path / "a.docx").write_text("x")
    refused(f"{tmp_path}/a.docx", "suffix")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_unreadable_files_are_refused(tmp_path):
    path = Path(ARRAYS["npy"](tmp_path))
    path.chmod(0)
    refused(path, "cannot be read")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x.npy")
    refused(f"{tmp_path}/x.npy", "not a regular file")


class Bomb:
    """Unpickled, it creates a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("suffix", ["pt", "pth", "npy", "npz"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not(suffix, tmp_path):
    bomb, path = Bomb(tmp_path / "exploded"), tmp_path / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, np.array([bomb] * 20, dtype=object), allow_pickle=True)
    elif suffix == "npz":
        np.savez(path, x=np.array([bomb] * 20, dtype=object))
    else:
        torch.save({"x": bomb}, path)
    refused(path, "code|objects")
    path.write_bytes(pickle.dumps(bomb))
    refused(path, path.name)
    assert not (tmp_path / "exploded").exists()


def test_a_whole_pickled_network_is_refused(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "net.pt")
    refused(f"{tmp_path}/net.pt", r"code \(torch\.nn\.modules\.linear\.Linear\)")


def test_a_shortened_file_of_torch_is_refused_in_one_sentence(tmp_path):
    torch.save({"x": torch.zeros(100, 4)}, tmp_path / "a.pt")
    (tmp_path / "a.pt").write_bytes((tmp_path / "a.pt").read_bytes()[:900])
    refused(f"{tmp_path}/a.pt", r"a\.pt is damaged, cut short, or not a file of torch\.save \([^.]+\); save it again$")


def write_npz_claiming(path, shape, values):
    np.save(path.with_suffix(".npy"), values)
    raw = path.with_suffix(".npy").read_bytes()
    old, new = str(values.shape).encode(), str(shape).encode()
    header = raw[:128].replace(old, new).replace(b" " * (len(new) - len(old)) + b"\n", b"\n")
    assert len(header) == 128
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", header + raw[128:])


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "x.npz", x=np.zeros((1000, 1000)))
    monkeypatch.setattr(array_files, "fits", lambda nbytes: nbytes < 1_000_000)
    monkeypatch.setattr(np, "load", None)
    refused(f"{tmp_path}/x.npz", r"unpacks to 8 MB, more than half of .* free memory; save it as \.npy")


def test_a_header_that_claims_more_than_the_archive_holds_is_not_believed(tmp_path):
    write_npz_claiming(tmp_path / "x.npz", (10**12, 3), np.zeros((20, 3)))
    refused(f"{tmp_path}/x.npz", r"claims the shape \(1000000000000, 3\) but is cut short")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,2\n3,x\n", "line 3 holds 'x'"),
        ("1,2\n3\n", "line 2 has 1 column, but the first row has 2"),
        ("1,2\n\n3,4,5\n", "line 3 has 3 columns"),
        ("a,b\n", "header but no rows"),
        ("\n\n", "no rows"),
        ("1,x\n2,3\n", "line 1 holds 'x'"),
    ],
)
def test_a_table_names_its_bad_line(text, words, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    refused(f"{tmp_path}/x.csv", words)


@pytest.mark.parametrize(
    "text",
    ["1,2\n3,4\n", "a,b\n1,2\n3,4\n", "\ufeffa,b\r\n1,2\r\n\r\n3,4\r\n", '"a","b"\n"1","2"\n3,4', "1;2\n3;4\n", " 1 , 2 \n3e0,4.0"],
    ids=["plain", "header", "windows", "quoted", "semicolon", "spaces"],
)
def test_tables_as_programs_write_them(text, tmp_path):
    (tmp_path / "x.csv").write_text(text, encoding="utf-8", newline="")
    assert everything(open_source(tmp_path / "x.csv")).tolist() == [[1, 2], [3, 4]]


FLOATS, WHOLE = "0.5,1,2\n" * 9, "4,1,3\n" * 9


@pytest.mark.parametrize(
    ("text", "options", "count"),
    [
        ("0,1,2\n" + FLOATS, "", 9),
        ('"0","1","2"\n' + FLOATS, "", 9),
        ("0,1,2\n" + FLOATS, "?header=yes", 9),
        ("0,1,2\n" + FLOATS, "?header=no", 10),
        ("0,1,2\n" + WHOLE, "?header=yes", 9),
        ("0,1,2\n" + WHOLE, "?header=no&limit=5", 5),
        ("0.0,1.0,2.0\n" + FLOATS, "", 10),
        ("1,2,3\n" + FLOATS, "", 10),
        ("0,1,3\n" + WHOLE, "", 10),
        ("0\n" + "3\n" * 9, "", 10),
        (",0,1\n" + WHOLE, "?header=yes", 9),
        ("a,b,c\n" + WHOLE, "?header=yes", 9),
    ],
)
def test_a_header_of_numbers_is_recognised_and_either_reading_can_be_forced(text, options, count, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    source = open_source(f"{tmp_path}/x.csv{options}")
    assert source.count == count
    assert any("header=no" in note for note in source.info.notes) == (count == 9 and not options)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0,1,2\n" + WHOLE, r"line 1 \(0, 1, 2\) may hold the names .*or a sample; add \?header=yes or \?header=no"),
        ("0,1\n0.6,0.8\n", r"may hold the names"),
        ("0\n0.5\n", r"may hold the names"),
        (",0,1\n" + FLOATS, r"a column without a name, as pandas .*index=False.*\?header=yes"),
        (",a,b\n" + FLOATS, "a column without a name"),
        ('"","a","b"\n' + FLOATS, "a column without a name"),
        ("a,b,c\n" + FLOATS, None),
    ],
)
def test_a_first_line_that_may_be_either_is_not_guessed(text, words, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    if words is None:
        refused(f"{tmp_path}/x.csv?header=no", "line 1 holds 'a'")
        refused(f"{tmp_path}/x.csv?header=maybe", "choose one of no, yes")
    else:
        refused(f"{tmp_path}/x.csv", words)


@pytest.mark.parametrize("text", ["1,2\n3," + "9" * 200_000, "9" * 200_000 + ",2\n3,4", "a,b\n1," + "x" * 200_000])
def test_endless_fields_of_a_table_are_refused(text, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    refused(f"{tmp_path}/x.csv", "x.csv cannot be read|x.csv line")


def test_a_table_too_large_for_memory_is_read_from_a_temporary_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "fits", lambda nbytes: False)
    monkeypatch.setattr(text_tables, "_ROWS_AT_ONCE", 7)
    source = open_source(ARRAYS["csv"](tmp_path))
    assert np.array_equal(everything(source).numpy().astype(np.float32), ROWS.reshape(60, 6))


STREAM = """
import resource, sys
import psutil
from wdist.data.memory import fits
from wdist.data.sources.opening import open_source
from wdist.data.survey import survey

limit = psutil.Process().memory_info().vms + 150_000_000
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
digests = set()
for address in sys.argv[1:]:
    source = open_source(address)
    assert not fits(source.nbytes), "it must look too large to be loaded"
    found = survey(source)
    assert found.maximum == 7.0, found
    digests.add(found.digest)
print(len(digests))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the limit on memory is that of Linux")
def test_a_file_larger_than_the_memory_is_read_in_pieces(tmp_path, repository):
    """200 MB under a limit that leaves 150 MB."""
    shape = (50_000, 1000)
    values = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", dtype=np.float32, shape=shape)
    values[-1, -1] = 7
    del values
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file.create_dataset("x", shape, dtype=np.float32, chunks=(1000, 1000), compression="gzip")[-1:, -1:] = 7
    done = subprocess.run(
        [sys.executable, "-c", STREAM, tmp_path / "x.npy", tmp_path / "x.h5"],
        capture_output=True,
        text=True,
        cwd=repository,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("1\n", "")


def test_rows_far_apart_are_not_bridged(tmp_path):
    """Two rows at the ends of a file cost two small reads, not the whole file."""
    address = ARRAYS["npy"](tmp_path)
    source = open_source(address)
    wide = torch.zeros(3000, 100_000 // 4)
    save_file({"x": wide}, tmp_path / "wide.safetensors")
    wide_source = open_source(f"{tmp_path}/wide.safetensors")
    asked = []
    original = wide_source._array.read_rows
    object.__setattr__(wide_source._array, "read_rows", lambda a, b: (asked.append((a, b)), original(a, b))[1])
    wide_source.read(np.array([0, 1, 2999]))
    assert asked == [(0, 2), (2999, 3000)]
    assert source.read(np.array([0, 59])).shape == (2, 6)


def test_decimal_commas_are_recognised(tmp_path):
    (tmp_path / "german.csv").write_text("0,5;1,5\n2,5;3,5\n")
    refused(f"{tmp_path}/german.csv", r"line 1 holds '0,5' in the column .*decimal comma, add \?decimal=,")


def test_weights_inside_a_checkpoint_are_recognised(tmp_path):
    weights = {"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(3)}
    torch.save({"model": weights, "epoch": 3}, tmp_path / "checkpoint.pt")
    refused(f"{tmp_path}/checkpoint.pt", r"weights of a network \(under model\); .*checkpoint\.pt\?factory=")
    torch.save({"run": {"x": torch.zeros(30, 2)}, "epoch": 3}, tmp_path / "nested.pt")
    refused(tmp_path / "nested.pt", r"holds a dict without tensors \(run: dict, epoch: int\); save a tensor or a dict of tensors")
    torch.save({"model": weights, "ema": weights}, tmp_path / "both.pt")
    refused(f"{tmp_path}/both.pt", r"\(under model, ema\); .*both\.pt:model\?factory=")


@pytest.mark.parametrize(
    ("values", "kind"), [(lambda n: np.zeros((n, 3)), "function"), ({"x": [1.0]}, "dict"), (iter([1.0]), "list_iterator")]
)
def test_an_object_without_samples_is_named_by_its_type(values, kind):
    with pytest.raises(SourceError, match=f"is of type {kind}, which holds no samples; pass a tensor"):
        open_source(values)
