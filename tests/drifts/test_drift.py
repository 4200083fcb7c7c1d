"""``wdist drift``: planted changes are found where they are, and every output says the same."""

import csv
import datetime
import json
import re

import numpy as np
import pytest

import wdist
from wdist.cli.main import main
from wdist.report.documents.forms import model

CHEAP = {"critic": "mean-difference", "couplings": True, "seed": 0, "device": "cpu", "progress": False}


def write_table(path, seed, *, amount=0.0, correlation=0.2, shares=(0.5, 0.3, 0.2), rows=400):
    random = np.random.default_rng(seed)
    z = random.normal(size=(rows, 2))
    z[:, 1] = correlation * z[:, 0] + np.sqrt(1 - correlation**2) * z[:, 1]
    countries = random.choice(["DE", "FR", "IT"], rows, p=shares)
    days = random.integers(0, 30, rows)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["amount", "visits", "country", "active", "day"])
        for k in range(rows):
            day = datetime.date(2026, 3, 1) + datetime.timedelta(int(days[k]))
            writer.writerow([20 + 5 * (z[k, 0] + amount), 3 * z[k, 1], countries[k], str(bool(random.random() < 0.7)).lower(), day])
    return str(path)


@pytest.fixture(scope="module")
def march(tmp_path_factory):
    return write_table(tmp_path_factory.mktemp("tables") / "march.csv", 0)


def test_nothing_is_found_where_nothing_changed(march, tmp_path):
    found = wdist.drift(march, write_table(tmp_path / "april.csv", 1), **CHEAP)
    assert not found.found
    assert (found.drifted, found.changed, found.jointly) == ((), (), False)
    assert sum(column.share for column in found.columns) == pytest.approx(1)
    assert found.summary().startswith("No drift is found")


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.9999])
def test_the_joint_distance_has_at_most_a_third_of_the_error(march, confidence):
    found = wdist.drift(march, march, confidence=confidence, **CHEAP)
    assert 0 < 3 * (1 - found.estimate.population.confidence) <= (1 - confidence) * (1 + 1e-9)


def test_columns_that_moved_are_named_with_their_distance(march, tmp_path):
    found = wdist.drift(march, write_table(tmp_path / "april.csv", 2, amount=0.6, shares=(0.3, 0.3, 0.4)), **CHEAP)
    assert {column.name for column in found.drifted} == {"amount", "country"}
    by_name = {column.name: column for column in found.columns}
    assert by_name["amount"].distance == pytest.approx(3, abs=1)
    assert by_name["amount"].scaled == pytest.approx(0.6, abs=0.2)
    assert by_name["amount"].lower <= 3 <= by_name["amount"].upper
    assert by_name["country"].lower <= 0.2 <= by_name["country"].upper
    assert by_name["day"].type == "date"
    assert found.summary().endswith("in the units of each column, for dates in days.")
    assert found.jointly


def test_a_column_that_moved_is_shown_before_and_now(tmp_path):
    """In values that a reader knows, whatever the type of the column."""
    for path, seed, shift, share in ((tmp_path / "march.csv", 0, 0, 0.0), (tmp_path / "april.csv", 1, 30, 0.5)):
        random = np.random.default_rng(seed)
        with path.open("w") as file:
            file.write("amount,country,active,day\n")
            for _ in range(300):
                new, day = random.random() < share, datetime.date(2026, 3, 1) + datetime.timedelta(shift + int(random.integers(5)))
                file.write(f"{random.normal() + shift},{'XX' if new else 'DE'},{not new},{day}\n")
    found = wdist.drift(tmp_path / "march.csv", tmp_path / "april.csv", **CHEAP)
    changes = {column.name: column.changes for column in found.columns}
    assert {name: of_column[0].what for name, of_column in changes.items()} == {
        "amount": "mean",
        "country": "share of DE",
        "active": "share of true",
        "day": "mean",
    }
    assert changes["amount"][0].current == pytest.approx(30, abs=0.3)
    words = " ".join(str(found).split())
    assert re.search(r"column in the that drifted value reference now", words)
    assert re.search(r"share of XX 0.0 % (4|5)\d.\d %", words)
    assert re.search(r"active share of true 100.0 % (4|5)\d.\d %", words)
    assert re.search(r"day mean 2026-03-0\d 2026-0(3|4)-\d\d", words)
    model("drift").model_validate(found.to_dict())


def test_a_column_that_misses_more_values_than_before_is_named(tmp_path):
    """Its present values are as before, and the median, which stands for missing ones, is the most frequent value."""
    random = np.random.default_rng(0)

    def table(share):
        amounts = np.where(random.random(300) < 0.8, 0.0, random.exponential(size=300))
        return np.column_stack([np.where(random.random(300) < share, np.nan, amounts), random.normal(size=300)])

    for path, share in ((tmp_path / "march.csv", 0.02), (tmp_path / "april.csv", 0.2)):
        np.savetxt(path, table(share), delimiter=",", header="amount,visits", comments="")
    found = wdist.drift(tmp_path / "march.csv", tmp_path / "april.csv", missing="level", **CHEAP)
    assert [column.name for column in found.drifted] == ["amount missing"]
    assert found.drifted[0].lower <= 0.18 <= found.drifted[0].upper
    assert [column.name for column in found.columns] == ["amount", "visits", "amount missing"]
    assert {name for pair in found.pairs for name in pair.columns} == {"amount", "visits"}
    assert found.plot() is not None


def test_booleans_are_written_in_words(tmp_path):
    for path, share in ((tmp_path / "a.csv", 0.2), (tmp_path / "b.csv", 0.9)):
        active = np.random.default_rng(1).random(100) < share
        path.write_text("active\n" + "".join(f"{bool(each)}\n" for each in active))
    found = wdist.drift(tmp_path / "a.csv", tmp_path / "b.csv", **CHEAP)
    assert {(row.before, row.after) for row in found.rows} == {("false", "true")}
    assert "The interval of the column holds at 95 %" in " ".join(str(found).split())


def test_changed_dependence_between_unchanged_columns_is_found(march, tmp_path):
    found = wdist.drift(march, write_table(tmp_path / "april.csv", 3, correlation=0.8), **CHEAP)
    assert found.drifted == ()
    assert [pair.columns for pair in found.changed] == [("amount", "visits")]


def test_the_row_that_moved_most_is_named(march, tmp_path):
    path = tmp_path / "april.csv"
    write_table(path, 4)
    lines = path.read_text().splitlines()
    lines[17] = "900.0" + lines[17][lines[17].index(",") :]
    path.write_text("\n".join(lines) + "\n")
    row, *_ = wdist.drift(march, str(path), **CHEAP).rows
    assert (row.row, row.column, row.after) == (17, "amount", "900")


def test_a_row_that_moved_is_shown_with_values_that_differ():
    """In a smaller table, each row takes mass of several rows, and most of it may come from an equal one."""
    random = np.random.default_rng(0)
    table = np.column_stack([random.poisson(4, 200), random.integers(0, 3, 200), random.normal(size=200)]).astype(float)
    found = wdist.drift(table, table[:50], **CHEAP)
    assert len(found.rows) == 5
    assert all(row.before != row.after for row in found.rows)


def test_the_command_writes_every_format_and_exits_with_1(march, tmp_path, capsys):
    moved = write_table(tmp_path / "april.csv", 2, amount=0.6)
    files = {name: tmp_path / f"drift.{name}" for name in ("json", "md", "csv", "html", "png")}
    options = {"-o": "json", "--markdown": "md", "--csv": "csv", "--html": "html", "--plot": "png"}
    named = [part for option, name in options.items() for part in (option, str(files[name]))]
    status = main(["drift", march, moved, "--critic", "mean-difference", *named])
    assert status == 1
    document = json.loads(files["json"].read_text())
    model("drift").model_validate(document)
    assert document["found"]
    assert document["drifted"] == ["amount"]
    assert document["reference"]["scaling"] == "std"
    shown = capsys.readouterr().out
    assert "Drift, with 95 % confidence: 1 of 5 columns (amount)" in shown
    assert "**amount**" in files["md"].read_text()
    page = files["html"].read_text()
    assert page.startswith("<!DOCTYPE html>")
    assert "data:image/png;base64," in page
    assert "<script" not in page
    rows = list(csv.DictReader(files["csv"].read_text().splitlines()))
    assert [row["name"] for row in rows if row["drifted"] == "True"] == ["amount"]


@pytest.mark.parametrize(("maximum", "status"), [("5", 0), ("0.001", 1), ("reference+300%", 0), ("reference+1%", 1)])
def test_a_limit_is_judged_as_by_a_gate(maximum, status, march, tmp_path, capsys):
    moved = write_table(tmp_path / "april.csv", 2, amount=1.5, shares=(0.1, 0.1, 0.8))
    assert main(["drift", march, moved, "--critic", "mean-difference", "--max", maximum, "--json"]) == status
    document = json.loads(capsys.readouterr().out)
    model("drift").model_validate(document)
    assert document["verdict"] == ("pass", "fail")[status]
    assert document["found"]


def test_an_open_limit_says_what_would_decide(march, tmp_path):
    found = wdist.drift(march, write_table(tmp_path / "april.csv", 2, amount=0.6), maximum=0.7, **CHEAP)
    assert found.verdict.answer.value == "inconclusive"
    for words in (str(found), found.summary()):
        assert "To pass, the upper bound must fall by" in " ".join(words.split())


def test_a_limit_that_is_none_is_refused(march, capsys):
    assert main(["drift", march, march, "--max", "much"]) == 2
    assert "--max 'much' is not a limit" in capsys.readouterr().err


def test_what_is_no_table_is_refused(march, capsys):
    assert main(["drift", march, "synthetic:gaussian?dim=5"]) == 2
    assert "synthetic:gaussian?dim=5 is not a table of rows and columns" in capsys.readouterr().err


def test_different_numbers_of_columns_are_refused_before_any_is_compared(tmp_path, capsys):
    for dim in (2, 3):
        np.save(tmp_path / f"{dim}.npy", np.random.default_rng(0).normal(size=(60, dim)))
    assert main(["drift", str(tmp_path / "2.npy"), str(tmp_path / "3.npy")]) == 2
    said = capsys.readouterr().err
    assert "give two sources whose samples have the same shape" in said
    assert "2 columns" not in said


def test_unscaled_and_scaled_distances_agree_column_by_column(march, tmp_path):
    other = write_table(tmp_path / "april.csv", 5)
    scaled, raw = (wdist.drift(march, other, scale=scale, **CHEAP) for scale in ("std", "none"))
    for one, same in zip(scaled.columns, raw.columns, strict=True):
        assert one.distance == pytest.approx(same.distance, rel=1e-9)
    assert raw.reference.scaling == "none"


def test_names_of_levels_do_not_run_into_each_other(tmp_path):
    """Eight cities of which every share changed: no label of the figure touches another."""
    random = np.random.default_rng(0)
    cities = [f"Neustadt {k} an der Weinstraße" for k in range(8)]
    for name, shares in (("a.csv", np.arange(1, 9)), ("b.csv", np.arange(8, 0, -1))):
        rows = zip(random.normal(size=120), random.choice(cities, 120, p=shares / shares.sum()), strict=True)
        (tmp_path / name).write_text("x,city\n" + "".join(f"{x},{city}\n" for x, city in rows), encoding="utf-8")
    figure = wdist.drift(f"{tmp_path}/a.csv", f"{tmp_path}/b.csv", **CHEAP).plot()
    figure.draw_without_rendering()
    for axes in figure.axes:
        for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
            boxes = [label.get_window_extent() for label in labels if label.get_text()]
            assert not any(one.overlaps(other) for k, one in enumerate(boxes) for other in boxes[:k])
