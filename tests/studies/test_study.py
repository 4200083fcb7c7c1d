"""A study hands over rows one by one, keeps them when it is interrupted, and knows the machine; all studies are known by name."""

import subprocess
from dataclasses import dataclass, replace
from functools import partial
from types import SimpleNamespace

import pytest

from wdist.checkpoints.checkpoint import current
from wdist.checkpoints.folder import kept
from wdist.errors import UsageError
from wdist.studies.catalogue import find_study, studies
from wdist.studies.machine import commit, this_machine
from wdist.studies.panels import Series
from wdist.studies.progress import SuiteProgress, complete
from wdist.studies.study import ClaimCheck, Column, Conclusion, Conditions, ReproducedNumber, Skipped, Study, StudyTable
from wdist.training.observer import CriticFinished, CriticStarted, Progress, Stage

SUITES = (
    *("tightness", "learning", "transport", "soundness", "coverage"),
    *("ladder", "gates", "sequential", "drift", "lipschitz", "distributed", "streams", "speed", "gpu"),
)
TABLES_AND_FIGURES = (
    *("table1", "table2", "table3", "table4", "table5", "table6", "table7"),
    *(f"figure{number}" for number in range(4, 18)),
    *("isometry", "moons", "representation"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    value: float


def suite(measure):
    return Study(
        name="suite",
        title="a suite",
        measure=measure,
        conclude=lambda rows: Conclusion(checks=(ClaimCheck(claim="There are rows.", holds=bool(rows), detail=str(len(rows))),)),
        tables=(StudyTable("rows", Row, Column(header="name", cell=lambda row: row.name)),),
        reduced=("everything",),
    )


def test_rows_and_what_was_skipped_are_kept_apart():
    def measure(conditions):
        yield Row(name="one", value=1.0)
        yield Skipped(name="two", reason="is not there")

    result = suite(measure).run(Conditions())
    assert [row.name for row in result.rows] == ["one"]
    assert [each.name for each in result.skipped] == ["two"]
    assert result.conclusion.checks[0].holds
    assert not result.interrupted


def test_a_conclusion_that_is_yielded_takes_the_place_of_the_one_from_the_rows():
    def measure(conditions):
        yield Row(name="one", value=1.0)
        yield Conclusion(remarks=("more than rows",))

    result = suite(measure).run(Conditions())
    assert len(result.rows) == 1
    assert result.conclusion == Conclusion(remarks=("more than rows",))


def test_nothing_follows_from_no_rows():
    result = suite(lambda conditions: iter([Skipped(name="one", reason="is not there")])).run(Conditions())
    assert result.conclusion == Conclusion()


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
    assert result.conclusion.checks[0].detail == "2"


def test_ctrl_c_before_the_first_row_ends_it():
    with pytest.raises(KeyboardInterrupt):
        suite(interrupted_after(0)).run(Conditions())


def test_an_estimate_that_was_cut_short_stops_the_study():
    whole = SimpleNamespace(interrupted=False)
    assert complete(whole) is whole

    def measure(conditions):
        yield Row(name="one", value=1.0)
        complete(SimpleNamespace(interrupted=True))
        yield Row(name="two", value=1.0)

    result = suite(measure).run(Conditions())
    assert result.interrupted
    assert len(result.rows) == 1


def test_only_chooses_by_parts_of_names_and_stars():
    conditions = Conditions(only=("cones", "funnels*endless"))
    assert conditions.wanted("cones-3 2000")
    assert conditions.wanted("funnels-4-dim-2 endless")
    assert not conditions.wanted("funnels-4-dim-2 2000")
    assert Conditions().wanted("anything")


def test_a_choice_of_nothing_is_refused():
    with pytest.raises(UsageError, match="only zebras matches no row of suite"):
        suite(lambda conditions: iter(())).run(Conditions(only=("zebras",)))


def test_what_quick_made_smaller_is_only_told_of_the_quick_form():
    one = suite(lambda conditions: iter([Row(name="one", value=1.0)]))
    assert one.run(Conditions(quick=True)).reduced == ("everything",)
    assert one.run(Conditions()).reduced == ()


@pytest.mark.parametrize("changes", [{"y": (0.0,)}, {"errors": (0.1,)}])
def test_points_and_their_errors_belong_together(changes):
    with pytest.raises(ValueError, match="x has 2 values"):
        Series(**{"name": "s", "x": (0.0, 1.0), "y": (0.0, 1.0), **changes})


def test_runs_are_reported_as_one_critic_each_with_the_time_that_is_left():
    heard = []
    progress = SuiteProgress(Conditions(budget="10s", observer=SimpleNamespace(notify=heard.append)), runs=3)
    with progress.run("one") as observer:
        observer.notify(CriticStarted(critic="inner", position=1, critics=9, budget="x"))
        observer.notify(Stage(what="something inside"))
        observer.notify(Progress(critic="inner", step=7, fraction=0.5, seconds=1.0, training=0.4, validation=0.4, best=0.4))
    assert [type(event) for event in heard] == [CriticStarted, Progress, CriticFinished]
    assert (heard[0].critic, heard[0].position, heard[0].critics, heard[0].expected, heard[0].after) == ("one", 1, 3, 10.0, 20.0)
    assert (heard[1].critic, heard[2].steps, heard[2].best) == ("one", 7, 0.4)


def test_without_a_budget_the_time_left_follows_from_the_runs_so_far():
    heard = []
    progress = SuiteProgress(Conditions(observer=SimpleNamespace(notify=heard.append)), runs=2)
    for label in ("one", "two"):
        with progress.run(label, steps=4):
            pass
    started = [event for event in heard if isinstance(event, CriticStarted)]
    assert [event.budget for event in started] == ["4 steps", "4 steps"]
    assert started[0].expected is None
    assert started[1].expected is not None
    assert started[1].after == 0


@pytest.mark.parametrize(
    ("ours", "paper", "difference"),
    [(0.91, 0.95, -0.04), (5.0, (4.0, 8.0), 0.0), (9.0, (4.0, 8.0), 1.0), (3.5, (4.0, 8.0), -0.5), (1.0, None, None)],
)
def test_the_difference_is_ours_less_the_papers_and_0_inside_a_range(ours, paper, difference):
    found = ReproducedNumber(row="", ours=ours, paper=paper).difference
    assert found == (None if difference is None else pytest.approx(difference))


def test_the_largest_difference_is_found_whatever_its_sign():
    rows = (
        ReproducedNumber(row="a", ours=1.0, paper=1.2),
        ReproducedNumber(row="b", ours=1.0, paper=0.9),
        ReproducedNumber(row="c", ours=9.0),
    )
    result = suite(lambda conditions: iter(rows)).run(Conditions())
    assert result.largest_difference.row == "a"
    assert replace(result, rows=rows[2:]).largest_difference is None


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


def test_all_studies_are_there():
    assert tuple(each.name for each in studies("bench")) == SUITES
    assert tuple(each.name for each in studies("reproduce")) == TABLES_AND_FIGURES


@pytest.mark.parametrize("name", SUITES)
def test_each_suite_has_a_name_a_title_and_tables(name):
    chosen = find_study("bench", name)
    assert (chosen.name, chosen.group) == (name, "bench")
    assert chosen.title
    assert chosen.tables


@pytest.mark.parametrize("name", TABLES_AND_FIGURES)
def test_each_cites_its_place_in_the_paper_and_takes_no_longer_in_its_quick_form(name):
    chosen = find_study("reproduce", name)
    assert (chosen.name, chosen.group) == (name, "reproduce")
    assert name.replace("figure", "figure ").replace("table", "table ") in chosen.source
    assert 0 < chosen.operations(True) <= chosen.operations(False)
    assert bool(chosen.reduced) == (chosen.operations(True) < chosen.operations(False))
    assert chosen.forecast(quick=True, device="cpu") > 0


@pytest.mark.parametrize(
    ("group", "name", "words"),
    [
        ("bench", "tightnes", "there is no suite 'tightnes'; did you mean tightness"),
        ("bench", "x", "choose one of tightness"),
        ("reproduce", "figure3", "choose one of|did you mean"),
        ("reproduce", "Table 1", "did you mean table1"),
        ("reproduce", "x", "choose one of"),
    ],
)
def test_an_unknown_name_is_refused_with_the_way_out(group, name, words):
    with pytest.raises(UsageError, match=words):
        find_study(group, name)


def test_a_study_goes_on_after_its_last_finished_row(tmp_path):
    measured, announced = [], []
    observer = SimpleNamespace(notify=lambda stage: announced.append(stage.what))

    def made(number):
        measured.append(number)
        return ReproducedNumber(row=str(number), ours=0.1 * number)

    def measure(conditions):
        for number in range(4):
            if number == 2 and not current().resumed:
                raise KeyboardInterrupt
            yield conditions.row(str(number), partial(made, number), what=f"row {number}")

    def run(**how):
        with kept(tmp_path / "run", command="bench suite", settings={}, **how):
            return suite(measure).run(Conditions(observer=observer))

    assert run().interrupted
    assert [row.ours for row in run(resume=True).rows] == [0.0, 0.1, 0.2, 0.1 * 3]
    assert measured == [0, 1, 2, 3]
    assert announced == ["row 0", "row 1", "row 2", "row 3"], "rows that are only read are not announced"
