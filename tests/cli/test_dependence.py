"""``wdist dependence``: what a user types and sees."""

import json

import numpy as np
import pytest

QUICK = ("--critic", "c-transform", "--quiet")


@pytest.fixture
def table(wdist, tmp_path):
    """A circle, with a column that is no part of it and one that no distance fits."""
    random = np.random.default_rng(0)
    angle = random.uniform(0, 2 * np.pi, 300)
    lines = [
        f"{x},{y},{z},row {i}" for i, (x, y, z) in enumerate(zip(np.cos(angle), np.sin(angle), random.random(300), strict=True))
    ]
    (tmp_path / "t.csv").write_text("\n".join(["east,north,noise,name", *lines]) + "\n")


def test_dependence_is_found_and_written(wdist, table, tmp_path):
    answer = wdist("dependence", "t.csv", "--columns", "east", "--with", "north", *QUICK, "-o", "d.json", "--plot", "d.png")
    assert answer.status == 0, answer.err
    assert answer.out.startswith("east and north depend on each other: W1 between")
    assert max(map(len, answer.out.splitlines())) <= 80
    document = json.loads((tmp_path / "d.json").read_text())
    assert document["found"] is True
    assert (document["columns"], document["with"]) == (["east"], ["north"])
    assert (tmp_path / "d.png").read_bytes().startswith(b"\x89PNG")


def test_independence_is_not_an_error(wdist, table):
    answer = wdist("dependence", "t.csv", "--columns", "noise", "--with", "east,north", *QUICK, "--json")
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    assert document["population"]["lower"] == 0.0
    assert document["with"] == ["east", "north"]


def test_mistakes_are_named(wdist, table):
    assert wdist("dependence", "t.csv").status == 2
    assert wdist("dependence", "t.csv", "--columns", "east").error.endswith("leave it out with ?without=name")
    assert wdist("dependence", "t.csv?columns=east,north", "--columns", "west").error == (
        "t.csv?columns=east,north has no column 'west'; the columns are east, north"
    )
    assert "--folds" in wdist("dependence", "t.csv", "--columns", "east", "--with", "north", "--folds", "3").error
