"""Parquet, Feather, packed and remote tables, and data frames: the same rows and types as the text table that they come from."""

import bz2
import datetime
import gc
import gzip
import lzma
import os
import sys
import tempfile
import zipfile
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
import torch

import wdist
from tests.data.sources.conftest import ARRAYS, refused
from wdist.data.access import Access
from wdist.data.inspection import inspect_source
from wdist.data.pairing import open_pair
from wdist.data.sources import columnar, fetching, tables
from wdist.data.sources.opening import open_source
from wdist.data.survey import finite_rows, survey
from wdist.errors import SourceError

N = 60
RANDOM = np.random.default_rng(0)
CONTENT = {
    "age": [None if k == 3 else float(k % 7) for k in range(N)],
    "count": [k % 5 for k in range(N)],
    "city": [None if k == 5 else ["Oslo", "Bergen", "Bodø"][k % 3] for k in range(N)],
    "member": [None if k == 7 else k % 2 == 0 for k in range(N)],
    "day": [None if k == 9 else datetime.date(2024, 1, 1 + k % 28) for k in range(N)],
    "time": [datetime.datetime(2024, 1, 1, k % 24, 30) for k in range(N)],
}
TYPES = ["number", "number", "category", "boolean", "date", "date"]


def write_csv(path):
    def text(value):
        return "" if value is None else str(value)

    lines = [",".join(CONTENT), *(",".join(map(text, row)) for row in zip(*CONTENT.values(), strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def arrow_table():
    arrow = pytest.importorskip("pyarrow")
    return arrow.table(CONTENT)


def parquet(folder):
    pytest.importorskip("pyarrow.parquet").write_table(arrow_table(), folder / "x.parquet", row_group_size=17)
    return f"{folder}/x.parquet"


def dictionary(folder):
    table = arrow_table()
    coded = table.set_column(2, "city", table["city"].dictionary_encode())
    pytest.importorskip("pyarrow.parquet").write_table(coded, folder / "d.parquet")
    return f"{folder}/d.parquet"


def feather(folder):
    pytest.importorskip("pyarrow.feather").write_feather(arrow_table(), folder / "x.feather")
    return f"{folder}/x.feather"


def stream(folder):
    """As Hugging Face's datasets keep their tables."""
    table, ipc = arrow_table(), pytest.importorskip("pyarrow.ipc")
    with ipc.new_stream(f"{folder}/x.arrow", table.schema) as writer:
        writer.write_table(table, max_chunksize=17)
    return f"{folder}/x.arrow"


def parts(folder):
    table, write = arrow_table(), pytest.importorskip("pyarrow.parquet").write_table
    (folder / "parts").mkdir()
    for number, start in enumerate(range(0, N, 25)):
        write(table.slice(start, 25), folder / "parts" / f"part-{number}.parquet")
    return f"{folder}/parts"


def packed(folder, suffix=".gz", pack=gzip.compress):
    write_csv(folder / "p.csv")
    (folder / f"p.csv{suffix}").write_bytes(pack((folder / "p.csv").read_bytes()))
    return f"{folder}/p.csv{suffix}"


def bzip2(folder):
    return packed(folder, ".bz2", bz2.compress)


def xz(folder):
    return packed(folder, ".xz", lzma.compress)


def zipped(folder):
    write_csv(folder / "p.csv")
    with zipfile.ZipFile(folder / "p.csv.zip", "w") as archive:
        archive.write(folder / "p.csv", "folder/p.csv")
    return f"{folder}/p.csv.zip"


def zstandard(folder):
    pack = pytest.importorskip("zstandard").ZstdCompressor()
    write_csv(folder / "z.csv")
    (folder / "z.csv.zst").write_bytes(pack.compress((folder / "z.csv").read_bytes()))
    return f"{folder}/z.csv.zst"


def pandas(folder):
    return pytest.importorskip("pandas").DataFrame(CONTENT)


def pandas_with_types(folder):
    frame = pytest.importorskip("pandas").DataFrame(CONTENT)
    return frame.astype({"age": "Float64", "city": "category", "member": "boolean", "day": "datetime64[ns]"})


def polars(folder):
    return pytest.importorskip("polars").DataFrame(CONTENT)


def lazy(folder):
    return pytest.importorskip("polars").DataFrame(CONTENT).lazy()


def arrow(folder):
    return arrow_table()


@pytest.mark.parametrize("made", [parquet, dictionary, feather, stream, parts, packed, bzip2, xz, zipped, zstandard])
def test_files_hold_the_rows_of_the_text_table(made, tmp_path):
    check_same(made(tmp_path), tmp_path)


@pytest.mark.parametrize("made", [pandas, pandas_with_types, polars, lazy, arrow])
def test_frames_hold_the_rows_of_the_text_table(made, tmp_path):
    pytest.importorskip("narwhals")
    check_same(made(tmp_path), tmp_path)


def check_same(table, folder):
    one, other = open_source(write_csv(folder / "x.csv")), open_source(table)
    assert [column.name for column in other.info.columns] == list(CONTENT)
    assert [column.missing for column in other.info.columns] == [1, 0, 1, 1, 1, 0]
    for source in (one, other):
        kinds = [column.type for column in source.info.columns]
        assert [{"empty": "date"}.get(kind, kind) for kind in kinds] == TYPES
        assert source.info.columns[2].levels == ("Bergen", "Bodø", "Oslo")
    rows = [source.read(slice(0, N)) for source in (one, other)]
    assert torch.allclose(*rows, rtol=0, atol=1e-9, equal_nan=True)
    pair = open_pair(one, other, access=Access(missing="level", scale="std"), seed=0, device=torch.device("cpu"))
    assert pair.a.info.dropped == pair.b.info.dropped == 0


def test_columns_of_a_parquet_file_are_chosen_before_they_are_read(tmp_path):
    arrow, write = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet").write_table
    table = arrow.table({"x": [float(k) for k in range(30)], "v": [[k, k] for k in range(30)], "id": [f"t{k}" for k in range(30)]})
    write(table, tmp_path / "x.parquet")
    refused(f"{tmp_path}/x.parquet", r"the column 'v' is of type list<.*leave them out with \?without=v,id")
    refused(f"{tmp_path}/x.parquet?columns=x,id", "'id' holds a different text in every row")
    refused(f"{tmp_path}/x.parquet?columns=x,y", "there is no column 'y'")
    source = open_source(f"{tmp_path}/x.parquet?columns=x&rows=3:7")
    assert source.read(slice(0, 4)).flatten().tolist() == [3, 4, 5, 6]


def test_a_stream_that_is_cut_short_is_refused(tmp_path):
    path = Path(stream(tmp_path))
    path.write_bytes(path.read_bytes()[:-200])
    refused(path, "x.arrow is damaged, cut short, or not a feather file .*; save it again")


def test_a_feather_file_too_large_for_memory_is_read_from_a_temporary_file(tmp_path, monkeypatch):
    whole = open_source(feather(tmp_path)).read(slice(0, N))
    monkeypatch.setattr(tables, "fits", lambda nbytes: False)
    assert torch.allclose(open_source(f"{tmp_path}/x.feather").read(slice(0, N)), whole, equal_nan=True)


def test_a_folder_that_cannot_hold_a_temporary_file_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "fits", lambda nbytes: False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    refused(feather(tmp_path), "temporary files cannot be written .*; free some space, or name another folder in TMPDIR")


def partitions(folder):
    """Files whose folders give a column, and which differ in their other columns."""
    table, write = arrow_table(), pytest.importorskip("pyarrow.parquet").write_table
    for number, (city, start, stop) in enumerate((("a", 0, 20), ("b", 20, 45), ("__HIVE_DEFAULT_PARTITION__", 45, N))):
        (folder / "parts" / f"place={city}").mkdir(parents=True)
        part = table.slice(start, stop - start)
        part = part.drop_columns("member") if number == 1 else part
        if number == 2:
            count = part.schema.get_field_index("count")
            part = part.set_column(count, "count", part["count"].cast("int32"))
        write(part, folder / "parts" / f"place={city}" / "x.parquet", row_group_size=9)
    return f"{folder}/parts"


def test_what_files_of_a_folder_lack_is_missing_and_folders_give_columns(tmp_path):
    source = open_source(partitions(tmp_path), Access(missing="level"))
    names = [column.name for column in source.info.columns]
    assert names == [*CONTENT, "place"]
    # Folders are read in the order of their names, where "__" comes before letters.
    rows, place = source.read(slice(0, N)), source.info.columns[-1]
    assert place.levels == ("a", "b")
    assert rows[:, -1].nan_to_num(-1).tolist() == [-1.0] * 15 + [0.0] * 20 + [1.0] * 25
    assert rows[:, names.index("count")].tolist() == [k % 5 for k in (*range(45, N), *range(45))]
    assert torch.isnan(rows[35:, names.index("member")]).all()


@pytest.mark.parametrize("made", [parquet, dictionary, parts, partitions])
def test_row_groups_of_parquet_too_large_for_memory_are_read_where_they_are(made, tmp_path, monkeypatch):
    whole = open_source(address := made(tmp_path)).read(slice(0, N))
    monkeypatch.setattr(columnar, "fits", lambda nbytes: False)
    monkeypatch.setattr(columnar, "_ROWS_AT_ONCE", 5)
    monkeypatch.setattr(tables, "Spool", None)
    source = open_source(address)
    for start, stop in ((0, N), (3, 9), (9, 20), (16, 18), (50, 60), (50, 60), (0, 1), (40, 41)):
        assert torch.equal(source.read(slice(start, stop)).nan_to_num(-1), whole[start:stop].nan_to_num(-1))
    numbers = np.array([2, 3, 30, 59])
    assert torch.equal(source.read(numbers).nan_to_num(-1), whole[numbers].nan_to_num(-1))
    assert source.rows_together <= N


def test_levels_of_parquet_are_counted_once_while_its_files_stay_as_they_are(tmp_path, monkeypatch):
    monkeypatch.setattr(columnar, "fits", lambda nbytes: False)
    monkeypatch.setattr("wdist.data.survey_cache._LEAST_BYTES", 0)
    monkeypatch.setattr("wdist.files._RACY_SECONDS", -1.0)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    counted, blocks = [], columnar.RowGroups.blocks
    monkeypatch.setattr(columnar.RowGroups, "blocks", lambda groups, group=0: counted.append(group) or blocks(groups, group))
    address = parts(tmp_path)
    first, again = open_source(address), open_source(address)
    assert counted == [0]
    assert again.info == first.info
    assert torch.equal(again.read(slice(0, N)).nan_to_num(-1), first.read(slice(0, N)).nan_to_num(-1))
    found, counted[:] = survey(first, cache=True), []
    assert vars(survey(again, cache=True)) | {"nonfinite": None} == vars(found) | {"nonfinite": None}
    assert not counted
    open_source(address, Access(cache=False))
    open_source(f"{address}?without=member")
    os.utime(tmp_path / "parts" / "part-1.parquet", (0, 0))
    open_source(address)
    assert counted == [0, 0, 0], "each is read anew"


def test_a_large_parquet_table_of_numbers_is_opened_without_reading_it_unless_missing_values_must_be_counted(tmp_path, monkeypatch):
    arrow, write = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet").write_table
    write(arrow.table({"x": [None, *range(30)], "y": [k / 2 for k in range(31)]}), tmp_path / "x.parquet")
    monkeypatch.setattr(columnar, "fits", lambda nbytes: False)
    read, blocks = [], columnar.RowGroups.blocks
    monkeypatch.setattr(columnar.RowGroups, "blocks", lambda groups, group=0: read.append(group) or blocks(groups, group))
    source = open_source(tmp_path / "x.parquet")
    assert not read
    assert [column.type for column in source.info.columns] == ["number", "number"]
    with pytest.raises(SourceError, match=r"1 of 31 rows misses a value \(x 1\)"):
        finite_rows(source, survey(source), Access())
    for opened in (open_source(tmp_path / "x.parquet", Access(missing="level")), open_source(tmp_path / "x.parquet", strict=False)):
        assert [column.missing for column in opened.info.columns] == [1, 0]


def test_parquet_that_changes_while_row_groups_are_read_is_noticed(tmp_path, monkeypatch):
    monkeypatch.setattr(columnar, "_ROWS_AT_ONCE", 5)
    monkeypatch.setattr(columnar, "fits", lambda nbytes: False)
    source = open_source(parquet(tmp_path))
    assert len(source.read(slice(0, 3))) == 3
    os.utime(tmp_path / "x.parquet", (0, 0))
    with pytest.raises(SourceError, match=r"x\.parquet changed while it was read"):
        source.read(slice(30, 40))


def test_a_damaged_parquet_file_is_refused(tmp_path):
    data = (tmp_path / "x.parquet") if parquet(tmp_path) else None
    data.write_bytes(data.read_bytes()[:-20])
    refused(str(data), "x.parquet is damaged, cut short, or not a parquet file")


def test_integers_that_float64_would_round_are_refused(tmp_path):
    arrow, write = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet").write_table
    write(arrow.table({"x": [2**53 + 1, *range(30)]}), tmp_path / "x.parquet")
    refused(f"{tmp_path}/x.parquet", "integers reach 9007199254740993")


def test_threads_that_read_a_row_group_in_turn_each_decode_it_once(tmp_path, monkeypatch):
    arrow = pytest.importorskip("pyarrow")
    monkeypatch.setattr(columnar, "fits", lambda nbytes: False)
    monkeypatch.setattr(columnar, "_ROWS_AT_ONCE", 10)
    pytest.importorskip("pyarrow.parquet").write_table(arrow.table({"x": np.arange(200.0)}), tmp_path / "x.parquet")
    decoded = []
    values_of = columnar._values
    monkeypatch.setattr(columnar, "_values", lambda part, *rest: decoded.append(part) or values_of(part, *rest))
    source = open_source(tmp_path / "x.parquet", Access(cache=False))
    with ThreadPoolExecutor(max_workers=1) as other:
        for start in range(0, 200, 5):
            here, there = source.read(slice(start, start + 5)), other.submit(source.read, slice(start, start + 5)).result()
            assert here.flatten().tolist() == there.flatten().tolist() == list(range(start, start + 5))
    assert len(decoded) == 2 * (200 // 10)


def test_a_frame_with_two_columns_of_one_name_is_refused():
    pytest.importorskip("narwhals")
    frame = pytest.importorskip("pandas").DataFrame(np.zeros((3, 2)), columns=["x", "x"])
    with pytest.raises(SourceError, match=r"unique column names.* 'x' 2 times.*; rename such columns"):
        open_source(frame)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda pandas: [{"a": 1}] * 30, "object"),
        (lambda pandas: pandas.period_range("2024-01", periods=30, freq="M"), r"period\[M\]"),
    ],
)
def test_a_frame_column_without_a_distance_is_refused_with_the_type_that_its_library_gives_it(make, kind):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"x": np.arange(30.0), "o": make(pandas)})
    with pytest.raises(SourceError, match=f"the column 'o' is of type {kind}, which has no distance; leave it out"):
        open_source(frame)


def test_all_columns_without_a_distance_are_named_at_once(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    lists = arrow.array([[1.0, 2.0]] * 30)
    parquet.write_table(arrow.table({"x": list(range(30)), "tags": lists, "embedding": lists}), tmp_path / "x.parquet")
    refused(f"{tmp_path}/x.parquet", r"'tags' is of type list.* nor can embedding be compared; .*\?without=tags,embedding$")


def test_a_column_without_values_is_named_and_not_said_to_miss_some():
    frame = pytest.importorskip("pandas").DataFrame({"x": np.arange(30.0), "note": np.full(30, np.nan)})
    for missing in ("refuse", "drop"):
        with pytest.raises(wdist.WdistError, match=r"the column 'note' misses every value; leave it out$"):
            wdist.estimate(frame, frame + 1, missing=missing)


def test_a_frame_of_numbers_keeps_its_type():
    frame = pytest.importorskip("pandas").DataFrame(np.ones((30, 2), dtype=np.float32), columns=["x", "y"])
    assert open_source(frame).read(slice(0, 1)).dtype == torch.float32


@pytest.mark.parametrize("labels", [[0, 1], [2.5, "x"], [("x", "mean"), ("x", "std")]], ids=["integers", "mixed", "levels"])
@pytest.mark.parametrize("missing", [False, True])
def test_labels_of_a_frame_need_not_be_texts(labels, missing):
    pandas = pytest.importorskip("pandas")
    columns = pandas.MultiIndex.from_tuples(labels) if isinstance(labels[0], tuple) else labels
    values = np.arange(60.0).reshape(30, 2)
    values[0, 1] = np.nan if missing else 1.0
    source = open_source(pandas.DataFrame(values, columns=columns))
    np.testing.assert_array_equal(source.read(slice(0, 30)), values)
    assert not missing or [column.name for column in source.info.columns] == [str(label) for label in labels]


@pytest.mark.parametrize("dtype", ["uint8", "Int64", "Float64", "int64[pyarrow]"])
@pytest.mark.parametrize("form", ["frame", "column"])
def test_numbers_of_a_frame_keep_their_values_whatever_their_type(dtype, form):
    """Bytes in a table are numbers, such as ages, and not the pixels of images; nullable types are read if nothing is missing."""
    pytest.importorskip("pyarrow")
    frame = pytest.importorskip("pandas").DataFrame({"age": np.arange(18, 48), "kids": np.arange(30) % 4})
    typed = frame.astype({"age": dtype, "kids": "uint8"})
    source = open_source(typed if form == "frame" else typed["age"])
    expected = frame.to_numpy() if form == "frame" else frame[["age"]].to_numpy()
    np.testing.assert_array_equal(source.read(slice(0, 30)) * source.info.scale, expected)


def test_decimals_of_a_frame_are_numbers():
    frame = pytest.importorskip("polars").DataFrame({"price": [Decimal("1.5"), Decimal("2.25")] * 15})
    np.testing.assert_array_equal(open_source(frame).read(slice(0, 2)), [[1.5], [2.25]])


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_series_of_texts_are_compared_whatever_their_names(library):
    frame = pytest.importorskip(library).DataFrame({"before": ["a"] * 30, "after": ["a", "b"] * 15})
    assert wdist.transport(frame["before"], frame["after"]).upper == pytest.approx(0.5)


def test_a_missing_library_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.dataset", None)
    (tmp_path / "x.parquet").write_bytes(b"PAR1")
    refused(f"{tmp_path}/x.parquet", r"read by pyarrow, which is not installed; pip install 'wdist\[tables\]'")


def test_what_unpacks_to_far_more_than_a_table_packs_to_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(fetching, "MOST_CLAIMED", 1000)
    monkeypatch.setattr(fetching, "MOST_COMPRESSION", 10)
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 100_000))
    refused(f"{tmp_path}/x.csv.gz", "holds more than .*; unpack it yourself")


def test_damaged_and_other_packed_files_are_refused(tmp_path):
    (tmp_path / "x.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 1000)[:-9])
    refused(f"{tmp_path}/x.csv.gz", "cannot be unpacked")
    with zipfile.ZipFile(tmp_path / "x.csv.zip", "w") as archive:
        archive.writestr("a.csv", "1,2")
        archive.writestr("b.csv", "1,2")
    refused(f"{tmp_path}/x.csv.zip", "holds 2 files; unpack it and give one of them")
    (tmp_path / "x.zip").write_bytes(b"PK")
    refused(f"{tmp_path}/x.zip", "is compressed, which only .csv and .tsv files may be; unpack it first")
    (tmp_path / "x.npy.gz").write_bytes(gzip.compress(b"1,2\n" * 1000))
    refused(f"{tmp_path}/x.npy.gz", "unpack it first")


def test_remote_files_are_copied_only_if_the_user_allows_it(tmp_path):
    fsspec = pytest.importorskip("fsspec")
    path = write_csv(tmp_path / "x.csv")
    with fsspec.open("memory://bucket/x.csv", "wb") as file:
        file.write((tmp_path / "x.csv").read_bytes())
    refused("memory://bucket/x.csv", "is on another machine; add download=True to copy it to this one")
    remote = open_source("memory://bucket/x.csv?columns=age,count", Access(download=True))
    here = open_source(f"{path}?columns=age,count")
    assert torch.equal(remote.read(slice(4, N)), here.read(slice(4, N)))
    assert remote.info.address == "memory://bucket/x.csv?columns=age,count"
    refused("memory://bucket/y.csv", "memory://bucket/y.csv cannot be fetched", Access(download=True))


@pytest.mark.parametrize("name", [*ARRAYS, "parquet"])
def test_copies_of_remote_files_last_as_long_as_their_sources(name, tmp_path, monkeypatch):
    fsspec = pytest.importorskip("fsspec")
    monkeypatch.setattr(columnar, "fits", lambda nbytes: False)
    written = (parquet if name == "parquet" else ARRAYS[name])(tmp_path).removeprefix(f"{tmp_path}/")
    path, colon, key = written.partition(":")
    with fsspec.open(f"memory://bucket/{path}", "wb") as file:
        file.write((tmp_path / path).read_bytes())
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    source = open_source(f"memory://bucket/{path}{colon}{key}?rows=5:30", Access(download=True))
    assert source.read(slice(3, 6)).shape == (3, source.info.dim)
    assert inspect_source(f"memory://bucket/{path}{colon}{key}", Access(download=True)).samples >= source.count
    del source
    gc.collect()
    assert not list((tmp_path / "copies").iterdir())


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files by /proc")
def test_copies_leave_no_file_open(tmp_path):
    path = packed(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    open_source(path)
    gc.collect()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
