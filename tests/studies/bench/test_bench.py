"""A suite hands over rows one by one, keeps them when it is interrupted, and knows the machine."""

import subprocess
from dataclasses import dataclass

import pytest

from wdist.errors import UsageError
from wdist.studies.bench.bench import Bench, BenchTable, Column, Conclusion, Conditions, Series, Skipped
from wdist.studies.bench.machine import commit, this_machine
from wdist.studies.bench.registry import BENCHES, bench
from wdist.studies.claim_check import Finding


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    value: float


def suite(measure):
    return Bench(
        name="suite",
        title="a suite",
        measure=measure,
        tables=(BenchTable(title="rows", of=Row, columns=(Column(header="name", cell=lambda row: row.name, kind="text"),)),),
        conclude=lambda rows: Conclusion(findings=(Finding(claim="There are rows.", holds=bool(rows), detail=str(len(rows))),)),
        reduced=("everything",),
    )


def test_rows_and_what_was_skipped_are_kept_apart():
    def measure(conditions):
        yield Row(name="one", value=1.0)
        yield Skipped(name="two", reason="is not there")

    result = suite(measure).run(Conditions())
    assert [row.name for row in result.rows] == ["one"]
    assert [each.name for each in result.skipped] == ["two"]
    assert result.conclusion.findings[0].holds
    assert not result.interrupted


def interrupted_after(count):
    def measure(conditions):
        for number in range(count):
            yield Row(name=str(number), value=0.0)
        raise KeyboardInterrupt

    return measure


def test_ctrl_c_keeps_the_rows_that_are_done():
    result = suite(interrupted_after(2)).run(Conditions())
    assert result.interrupted
    assert len(result.rows) == 2


def test_ctrl_c_before_the_first_row_ends_it():
    with pytest.raises(KeyboardInterrupt):
        suite(interrupted_after(0)).run(Conditions())


def test_only_chooses_by_parts_of_names_and_stars():
    conditions = Conditions(only=("cones", "funnels*endless"))
    assert conditions.wanted("cones-3 2000")
    assert conditions.wanted("funnels-4-dim-2 endless")
    assert not conditions.wanted("funnels-4-dim-2 2000")
    assert Conditions().wanted("anything")


def test_a_choice_of_nothing_is_refused():
    with pytest.raises(UsageError, match="--only zebras names nothing of suite"):
        suite(lambda conditions: iter(())).run(Conditions(only=("zebras",)))


def test_what_quick_made_smaller_is_only_told_of_the_quick_form():
    one = suite(lambda conditions: iter([Row(name="one", value=1.0)]))
    assert one.run(Conditions(quick=True)).reduced == ("everything",)
    assert one.run(Conditions()).reduced == ()


def test_points_and_their_labels_belong_together():
    with pytest.raises(ValueError, match="differ in length"):
        Series(name="s", x=(0.0, 1.0), y=(0.0, 1.0), labels=("a",))


def test_the_machine_is_named():
    machine = this_machine()
    assert machine.processor
    assert machine.cores >= 1
    assert machine.memory > 1 << 28


def test_outside_a_checkout_there_is_no_commit(monkeypatch):
    def fails(*arguments, **options):
        raise subprocess.CalledProcessError(128, arguments)

    monkeypatch.setattr(subprocess, "run", fails)
    assert commit() is None


@pytest.mark.parametrize("name", BENCHES)
def test_each_suite_has_a_name_a_title_and_tables(name):
    chosen = bench(name)
    assert chosen.name == name
    assert chosen.title
    assert chosen.tables
    assert chosen.conclude(()).panels == (), "nothing to draw without rows"


@pytest.mark.parametrize(("name", "words"), [("tightnes", "did you mean tightness"), ("x", "choose one of")])
def test_an_unknown_name_is_refused_with_the_way_out(name, words):
    with pytest.raises(UsageError, match=words):
        bench(name)
