"""Text tables of typed columns: separators, decimals, headers, types, and how they are refused."""

import contextlib
import datetime
import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.data.sources.conftest import refused
from wdist.data.sources import tables, text_tables
from wdist.data.sources.opening import open_source


def opened(tmp_path, text, options="", name="x.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    return open_source(f"{tmp_path}/{name}{options}")


def values(source):
    """Cells as Python values, None where one is missing."""
    rows = source.read(slice(0, source.count)).tolist()
    return [
        [
            None if np.isnan(x) else column.levels[int(x)] if column.type == "category" else x
            for x, column in zip(row, source.info.columns, strict=True)
        ]
        for row in rows
    ]


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ("a;b\n1,5;u\n2;v\n", "?decimal=,"),
        ("a\tb\n1.5\tu\n2\tv\n", ""),
        ("a|b\n1.5|u\n2|v\n", ""),
        ("a b\n1.5  u\n2 v \n", ""),
        ('a b c\n1.5 u "x y"\n2 v x\n', "?columns=a,b"),
        ("9,1.5,u\n9,2,v\n", "?without=column 1"),
        ("b,c,a\nu,,1.5\nv,,2\n", "?names=no&columns=column 3,column 1"),
        ('"a","b"\n"1.5","u"\n\n2,"v"', ""),
        ("a:b\n1.5;u\n2;v\n".replace(":", ";"), "?delimiter=semicolon"),
        ("1.5,u\n2,v\n", "?header=no"),
        ("1.5,u\n2,v\n", ""),
        ("b,c,a\nu,x y,1.5\nv,,2\n", "?columns=a,b"),
        ("a;b\n1.5;u\n2;v\n", "?names=no"),
        ("id,a,b\n7,1.5,u\n8,2,v\n", "?without=id"),
        ("a,c,b,d\n1.5,x,u,y\n2,x,v,y\n", "?without=c,d"),
        ("a,b\n1.5,u\n2,v\n\n", "?encoding=ascii"),
        ("a,a\n1.5,u\n2,v\n", "?names=no"),
    ],
)
def test_typed_tables_as_programs_write_them(text, options, tmp_path):
    assert values(opened(tmp_path, text, options)) == [[1.5, "u"], [2, "v"]]


@pytest.mark.parametrize(
    ("cells", "kind", "wanted"),
    [
        ("1 NA 2.5", "number", [1, None, 2.5]),
        ("true False TRUE", "boolean", [1, 0, 1]),
        ("u v u", "category", ["u", "v", "u"]),
        ("2024-01-01 1970-01-02 null", "date", [19723, 1, None]),
        ("1970-01-02T12:00 1970-01-01T06:00:00Z 1970-01-01T02:00:00+02:00", "date", [1.5, 0.25, 0]),
        ("u 1 v", "category", ["u", "1", "v"]),
        ("NA N/A null", "empty", [None, None, None]),
    ],
)
def test_columns_have_types(cells, kind, wanted, tmp_path):
    lines = "".join(f"{cell},k\n" for cell in cells.split(" "))
    source = opened(tmp_path, "x,k\n" + lines)
    assert source.info.columns[0].type == kind
    assert [row[0] for row in values(source)] == wanted


def test_numbers_are_read_as_categories_on_request(tmp_path):
    source = opened(tmp_path, "zip,x\n0150,1\n5003,2\n0150,3\n", "?categories=zip")
    assert values(source) == [["0150", 1], ["5003", 2], ["0150", 3]]
    refused(f"{tmp_path}/x.csv?categories=zap", "there is no column 'zap'; did you mean 'zip'")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,u\n2,v\nx,w\n", "line 4 holds 'x' instead of a number in the column 'a'; correct it .*, or leave it out"),
        ("a,b\n2024-01-01,u\n2024-01-02,v\nx,w\n", "line 4 holds 'x' instead of a date"),
        ("a,b\n1.2.2024,u\n3.4.2024,v\n", "line 2 holds '1.2.2024' in the column 'a'; write dates as 2024-12-31"),
        ("a;b\n1.5;u\n2;v\n1,5;v\n", r"line 4 holds '1,5' in the column 'a'; if that is a decimal comma, add \?decimal=,"),
        ("a;b\n1,234;u\n5;v\n", r"if the comma groups digits, add \?thousands=,; if that is a decimal comma, add \?decimal=,"),
        ('a,b\n"1,234.5",u\n950.00,v\n', r"if the comma groups digits, add \?thousands=,$"),
        ("a;b\n1.234,5;u\n950;v\n", r"if . groups digits, add \?thousands=.&decimal=,$"),
        ("a;b\n1 234;u\n950;v\n", r"if a space groups digits, add \?thousands=space$"),
        ("a,b,a\n1,u,2\n", r"2 columns named 'a'; rename them, or take all columns by position with \?names=no"),
        ("a;b\n1,2;u\n3,4;v\n", r"line 2 holds '1,2' in the column 'a'; if that is a decimal comma, add \?decimal=,"),
        ("a;b\n1,2;5,6\n3,4;7,8\n", r"'1,2' in the column 'a', and likewise in b; if that is a decimal comma, add \?decimal=,$"),
        ("a,b\n1,u\n2\n", "line 3 has 1 column, but the first row has 2"),
        ("a,b\n" + "".join(f"{k},t{k}\n" for k in range(30)), "'b' holds a different text in every row"),
        ("a,b\n" + "".join(f"{k},t{k % 1500}\n" for k in range(2000)), "'b' holds more than 1,000 different texts"),
        ("a,b\n1,u\n\n2,v,w\n", "line 4 has 3 columns"),
        ("# exported 2024\na,b,c\n1,2,3\n4,5,6\n", "line 1 names 1 column above rows of 3; delete this comment"),
        ("sep=;\na;b\n1,5;2\n2;3\n", "line 1 is 'sep=;', a note for Excel; delete this line"),
        ('"a","b"\n"1",5,6\n"2",7,8\n', r"line 1 names 2 columns above rows of 3; name every column, or take them by position"),
        ("1,u\nx,v\n3,w\n", r"line 2 holds 'x' instead of a number in the column 'column 1'; .* with \?without=column 1"),
    ],
)
def test_a_typed_table_names_what_is_wrong(text, words, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    refused(f"{tmp_path}/x.csv", words)


@pytest.mark.parametrize(
    ("cells", "options"),
    [
        ("1,234.5 950 -2,000,000", "?delimiter=semicolon&thousands=,"),
        ("1.234,5 950 -2.000.000,0", "?decimal=,&thousands=."),
        ("1\u202f234,5 950 -2\u00a0000\u00a0000", "?decimal=,&thousands=space"),
        ("1'234.5 950 -2'000'000", "?thousands='"),
    ],
)
def test_digits_in_groups_are_numbers_on_request(cells, options, tmp_path):
    lines = "".join(f"{cell};u\n" for cell in cells.split(" "))
    assert values(opened(tmp_path, "x;k\n" + lines, options)) == [[1234.5, "u"], [950, "u"], [-2e6, "u"]]


@pytest.mark.parametrize(
    ("cell", "options"), [("1.234", "?decimal=,"), ("1,5", "?delimiter=semicolon&thousands=,"), ("12,34", "?thousands=,")]
)
def test_a_mark_in_the_wrong_place_is_no_number(cell, options, tmp_path):
    """1.234 with decimal commas is not 1.234, nor is 1,5 fifteen where commas group digits."""
    (tmp_path / "x.csv").write_text(f'x;k\n7;u\n8;u\n"{cell}";u\n')
    refused(f"{tmp_path}/x.csv{options}", f"line 4 holds '{cell}'")
    (tmp_path / "x.csv").write_text(f'x;y\n7;1\n8;2\n"{cell}";3\n')
    refused(f"{tmp_path}/x.csv{options}", f"line 4 holds '{cell}'")


@pytest.mark.parametrize(
    ("encoding", "options"),
    [("utf-8-sig", ""), ("utf-16", ""), ("utf-16-le", "?encoding=utf-16-le"), ("cp1252", "?encoding=cp1252")],
)
def test_text_in_another_encoding(encoding, options, tmp_path):
    (tmp_path / "x.csv").write_text("naïve\tb\n1.5\tGöteborg\n2\tv\n", encoding=encoding)
    source = open_source(f"{tmp_path}/x.csv{options}")
    assert values(source) == [[1.5, "Göteborg"], [2, "v"]]
    assert source.info.columns[0].name == "naïve"


def test_an_unknown_encoding_is_refused_with_a_way_out(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,Göteborg\n", encoding="cp1252")
    refused(f"{tmp_path}/x.csv", r"is not UTF-8 text; name its encoding, such as \?encoding=cp1252")
    refused(f"{tmp_path}/x.csv?encoding=utf-16", "is not utf-16 text")
    for name in ("cp99", "base64"):
        refused(f"{tmp_path}/x.csv?encoding={name}", f"encoding={name} is unknown")


def test_columns_are_left_out_by_name(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,u\n2,v\n")
    refused(f"{tmp_path}/x.csv?without=c", "there is no column 'c'")
    refused(f"{tmp_path}/x.csv?without=a,b", "leaves no columns")
    refused(f"{tmp_path}/x.csv?without=a&columns=b", "both choose columns")


def test_blank_names_are_those_that_pandas_gives(tmp_path):
    assert [column.name for column in opened(tmp_path, "a,,b,\n1,2,u,\n2,3,v,\n").info.columns] == [
        "a",
        "Unnamed: 1",
        "b",
        "Unnamed: 3",
    ]


def test_a_column_that_is_left_out_may_hold_anything(tmp_path):
    text = "id,x,note\n" + "".join(f"{k},{k % 7},text {k}\n" for k in range(40))
    source = opened(tmp_path, text, "?columns=x")
    assert values(source) == [[k % 7] for k in range(40)]


def test_a_comma_cannot_do_two_jobs(tmp_path):
    (tmp_path / "x.csv").write_text("a,b\n1,2\n")
    refused(f"{tmp_path}/x.csv?decimal=,&delimiter=comma", "cannot separate both")


def test_levels_are_sorted_whatever_the_order_and_the_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "fits", lambda nbytes: False)
    monkeypatch.setattr(text_tables, "_ROWS_AT_ONCE", 3)
    texts = ["b", "c", "a", "b", "NA", "c", "a", "d"]
    source = opened(tmp_path, "x,k\n" + "".join(f"{k},{text}\n" for k, text in enumerate(texts)))
    assert source.info.columns[1].levels == ("a", "b", "c", "d")
    assert [row[1] for row in values(source)] == [None if text == "NA" else text for text in texts]
    assert source.info.columns[1].missing == 1


CELLS = {
    "number": st.floats(allow_nan=False, allow_infinity=False, width=32),
    "boolean": st.booleans(),
    "date": st.dates(min_value=datetime.date(1900, 1, 1)),
    "category": st.sampled_from(["blue", "a b", 'say "x"', "a,b", "a;b", "Ærø", "tab\there", "line\nfeed"]),
}


@settings(max_examples=60, deadline=None)
@given(data=st.data(), delimiter=st.sampled_from([",", ";", "\t", "|"]), decimal=st.sampled_from([".", ","]))
def test_what_python_writes_is_read_back(data, delimiter, decimal, tmp_path_factory):
    """Any mixture of types and missing values, quoted by the csv module."""
    import csv

    decimal = "." if delimiter == "," else decimal
    kinds = data.draw(st.lists(st.sampled_from(list(CELLS)), min_size=2, max_size=4))
    present = {k: data.draw(CELLS[kind]) for k, kind in enumerate(kinds)}  # one value at least decides the type
    row = st.tuples(*(st.none() | CELLS[kind] for kind in kinds))
    rows = [tuple(present.values()), *data.draw(st.lists(row, max_size=8))]

    def text(value):
        return "" if value is None else str(value).replace(".", decimal) if isinstance(value, float) else str(value)

    path = tmp_path_factory.mktemp("fuzz") / "x.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow([f"c{k}" for k in range(len(kinds))])
        writer.writerows([[text(value) for value in row] for row in rows])
    names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe"}
    source = open_source(f"{path}?delimiter={names[delimiter]}&decimal={decimal}")

    def wanted(value):
        return (value - datetime.date(1970, 1, 1)).days if isinstance(value, datetime.date) else value

    assert [column.type for column in source.info.columns] == kinds
    assert values(source) == [[wanted(value) for value in row] for row in rows]
    for typed in as_columns(rows, path.with_suffix(".parquet")):
        other = open_source(typed)
        assert [column.type for column in other.info.columns] == kinds
        assert values(other) == values(source)


def as_columns(rows, path):
    """The same rows as a Parquet file and as frames, as far as the libraries are installed."""
    content = {f"c{k}": list(column) for k, column in enumerate(zip(*rows, strict=True))}
    with contextlib.suppress(ImportError):
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.table(content), path)
        yield path
    for library in ("pandas", "polars"):
        with contextlib.suppress(ImportError):
            import narwhals as _  # noqa: F401 - frames of categories and dates are read by it

            yield importlib.import_module(library).DataFrame(content)
