"""The grammar of addresses."""

import contextlib
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.data.sources.conftest import refused
from wdist.data.sources.address import parse_address
from wdist.errors import SourceError


@pytest.mark.parametrize(
    ("text", "location", "key", "options"),
    [
        ("a.h5", "a.h5", None, {}),
        ("a.h5:/group/x", "a.h5", "/group/x", {}),
        ("dir.v2/a.HDF5:x:y", "dir.v2/a.HDF5", "x:y", {}),
        ("x.npz:key?rows=0:5&limit=3", "x.npz", "key", {"rows": "0:5", "limit": "3"}),
        ("images/?size=32", "images/", None, {"size": "32"}),
        ("a:b/c.txt", "a:b/c.txt", None, {}),
        (r"C:\data\a.h5:x", r"C:\data\a.h5", "x", {}),
        ("g.pt?factory=pkg.mod:Class&latent=normal:64", "g.pt", None, {"factory": "pkg.mod:Class", "latent": "normal:64"}),
        ("a.npy?root=a%26b%3Dc", "a.npy", None, {"root": "a&b=c"}),
    ],
)
def test_paths_are_taken_apart(text, location, key, options):
    address = parse_address(text)
    assert (address.scheme, address.location, address.key, dict(address.options)) == ("file", location, key, options)


def test_suffixes_of_packed_files_may_be_in_capitals():
    address = parse_address("A.CSV.GZ")
    assert (address.suffix, address.compression) == (".csv", ".gz")


@pytest.mark.parametrize("scheme", ["torchvision", "synthetic"])
def test_named_sources_are_taken_apart(scheme):
    address = parse_address(f"{scheme}:name?a=1&b=x:y")
    assert (address.scheme, address.location, address.key, dict(address.options)) == (scheme, "name", None, {"a": "1", "b": "x:y"})


@pytest.mark.parametrize("name", ["what?.npy", "a.h5:b.npy", "x?y=z.npy"])
def test_a_file_that_exists_is_meant_whatever_its_name_holds(name, tmp_path):
    (tmp_path / name).write_text("")
    address = parse_address(tmp_path / name)
    assert (address.path, address.key, dict(address.options)) == (tmp_path / name, None, {})


@pytest.mark.parametrize(
    "text", ["", "  ", "?rows=1:2", "a.npy?rows", "a.npy?=3", "a.npy?rows=", "a.npy?x=1&x=2", "synthetic:", "a\0b"]
)
def test_malformed_addresses_are_refused(text):
    with pytest.raises(SourceError, match=";"):
        parse_address(text)


def test_a_home_folder_is_found():
    assert parse_address("~/a.npy").path == Path.home() / "a.npy"


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_refused(text):
    with contextlib.suppress(SourceError):
        assert parse_address(text).location


@pytest.mark.parametrize(("text", "ends"), [("0:255", (0.0, 255.0)), ("-1:1", (-1.0, 1.0)), ("1e-3:2", (0.001, 2.0))])
def test_intervals(text, ends):
    assert parse_address(f"a.npy?stored={text}").interval("stored") == ends


@pytest.mark.parametrize("text", ["1", "1:", "2:1", "1:1", "a:b", "0:inf", "nan:1"])
def test_no_intervals(text):
    with pytest.raises(SourceError, match="not an interval"):
        parse_address(f"a.npy?stored={text}").interval("stored")


def test_a_home_folder_of_nobody_is_refused():
    refused("~nobody-of-this-name/x.npy", "unknown user; write the folder itself")


@pytest.mark.parametrize(
    ("name", "way_out"),
    [
        ("a.xlsx", "save the sheet as .csv"),
        ("a.TXT", "rename a table to .csv"),
        ("a.mat", "save the array as .npy or .h5"),
        ("a.png", "give the folder that holds the images"),
        ("a.cvs", "did you mean '.csv'?"),
    ],
)
def test_a_file_of_another_format_says_what_to_do(name, way_out, tmp_path):
    (tmp_path / name).write_text("1")
    refused(str(tmp_path / name), re.escape(way_out))


def test_standard_input_says_what_to_do():
    refused("-", "save standard input to a file and name that")
