"""A verdict as text, Markdown, annotations, outputs and a test report; none of them lets an address break out of its place."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.estimates import made_estimate
from tests.report.consoles import shown
from wdist.gates.baseline import Recorded
from wdist.gates.gate import judged
from wdist.gates.rules import Interval, LowerMaximum, Maximum, NoWorse
from wdist.report.documents.forms import document as document_of
from wdist.report.documents.forms import model
from wdist.report.documents.gate import gate_markdown, github_annotations, github_outputs, junit
from wdist.report.plots.gate import draw_gate

EVIL = "a|`<b>`%\r\n::error::x&\x1b[31m\x00.h5"


@pytest.fixture
def result_of():
    """Makes a verdict on 0.97765 <= W1 <= 1.5 at 95 %."""

    def make(*rules, on="population", address=None, upper=1.5, **facts):
        estimate = made_estimate(truth=None)
        population = replace(estimate.critic.population, upper=upper, upper_method="W1 of 4 independent blocks, asymptotic")
        estimate = replace(estimate, critic=replace(estimate.critic, population=population))
        if address is not None:
            estimate = replace(estimate, a=replace(estimate.a, address=address), b=replace(estimate.b, address=address))
        return judged(estimate, rules or (Maximum(value=2.0),), on=on, **facts)

    return make


@pytest.fixture
def recorded():
    return Recorded(
        document="last.json",
        command="gate",
        source="yesterday.h5",
        reference={},
        metric="l2",
        features=None,
        population=Interval(on="population", lower=0.4, upper=0.5, confidence=0.95),
        samples=Interval(on="samples", lower=0.4, upper=0.5),
    )


@pytest.mark.parametrize(("maximum", "word"), [(2.0, "PASS"), (0.5, "FAIL"), (1.2, "INCONCLUSIVE")])
def test_the_verdict_comes_first_and_the_scale_shows_it(result_of, maximum, word):
    lines = shown(result_of(Maximum(value=maximum))).splitlines()
    assert lines[0].startswith(f"{word} W1 between the distributions behind A and B is ")
    (proved,) = (line for line in lines if line.startswith("W1 of the populations"))
    (limit,) = (line for line in lines if line.startswith("maximum "))
    assert proved.rstrip().endswith("0.9776 to 1.500")
    assert limit.rstrip().endswith(f"{maximum:g}")
    bar, mark = [i for i, sign in enumerate(proved) if "\u2580" <= sign <= "\u259f"], limit.index("│")
    assert {"PASS": mark > bar[-1], "FAIL": mark < bar[0], "INCONCLUSIVE": bar[0] < mark < bar[-1]}[word]


def test_the_figure_shows_the_estimate_of_any_level(result_of):
    """The mean between blocks is not held out."""
    interval = Interval(on="block", lower=2.4, estimate=2.42, upper=2.45, confidence=0.95)
    (axes,) = draw_gate(replace(result_of(), on="block", interval=interval)).axes
    assert axes.texts[1].get_text() == "estimate 2.420"


def test_the_figure_shows_negative_values_of_a_critic_where_they_are(result_of):
    interval = Interval(on="detected", lower=-0.25, estimate=-0.0625, upper=0.125, confidence=0.95)
    (axes,) = draw_gate(replace(result_of(), on="detected", interval=interval)).axes
    assert axes.get_xlim()[0] < -0.25
    assert [text.get_text() for text in axes.texts[:2]] == ["-0.2500 to 0.1250", "estimate -0.06250"]
    (mark,) = (line for line in axes.lines if line.get_marker() == "o")
    assert list(mark.get_xdata()) == [-0.0625]


@pytest.mark.parametrize("name", ["markdown", "figure"])
def test_the_units_of_the_distance_are_stated(result_of, name):
    result = result_of()
    a, b = (replace(side, units="of the columns' standard deviations in A") for side in (result.estimate.a, result.estimate.b))
    result = replace(result, estimate=replace(result.estimate, a=a, b=b))
    told = gate_markdown(result) if name == "markdown" else draw_gate(result).axes[0].get_xlabel()
    assert "Euclidean metric, in the units of the columns' standard deviations in A" in told


@pytest.mark.parametrize("width", [45, 72, 80, 120])
def test_text_fits_its_width_with_and_without_unicode(result_of, recorded, width):
    result = result_of(Maximum(value=1.2), NoWorse(before=recorded.population, tolerance=0.05), recorded=recorded)
    text = shown(result, width)
    assert max(map(len, text.splitlines())) <= width
    for part in (
        "FAIL on 2 rules together:",
        "inconclusive W1 between",
        "fail W1 between",
        "baseline, passes within",
        "baseline, fails above",
        "last.json",
        "yesterday.h5",
        "--on population",
        "at 90 %",
    ):
        assert part in " ".join(text.split())
    assert ("#####" in shown(result, width, ascii_only=True)) == (width > 45), "narrow terminals show numbers without a scale"


def test_open_ends_and_samples_are_told_as_they_are(result_of):
    text = shown(result_of(LowerMaximum(value=3.0), upper=None))
    assert "0.9776 or more" in text
    assert "(--on population); the lower bound holds at 95 %." in " ".join(text.split())
    assert "both bounds" not in text
    assert "nothing is proved" in text
    assert "both bounds are certain" in shown(result_of(on="samples"))
    assert "The time was limited" in shown(result_of(timed=True))
    assert "give the same digits" in shown(result_of())


def test_the_document_is_that_of_the_estimate_with_the_verdict(result_of, recorded):
    result = result_of(Maximum(value=1.2), NoWorse(before=recorded.population, tolerance=0.05), recorded=recorded)
    document = json.loads(json.dumps(document_of(result, "gate")))
    estimate = json.loads(json.dumps(document_of(result.estimate, "estimate")))
    assert {name: document[name] for name in estimate} == estimate
    assert (document["verdict"], document["on"], document["repeatable"]) == ("fail", "population", True)
    assert document["verdict_confidence"] == pytest.approx(0.9)
    assert [rule["asked"] for rule in document["rules"]] == ["max", "baseline"]
    assert [rule["verdict"] for rule in document["rules"]] == ["inconclusive", "fail"]
    assert document["rules"][0]["limit"] == 1.2
    assert document["rules"][1]["fails_above"] == pytest.approx(0.525)
    assert document["recorded"]["population"] == {"lower": 0.4, "upper": 0.5, "confidence": 0.95}


def test_every_fact_of_the_verdict_is_explained():
    properties = model("gate").model_json_schema(mode="serialization")["properties"]
    for name in ("verdict", "reason", "what_would_decide", "on", "verdict_confidence", "repeatable", "recorded"):
        assert properties[name]["description"]


def test_markdown_is_a_heading_a_sentence_and_a_table(result_of):
    lines = gate_markdown(result_of()).splitlines()
    assert lines[0] == "### wdist gate: pass"
    assert lines[2].startswith("W1 between the distributions behind A and B is at most 1.500, within the maximum of 2")
    (judged_row,) = (line for line in lines if "(judged)" in line)
    assert judged_row.startswith("| W1 of the populations (judged) | 0.9776 ≤ W1 ≤ 1.500, at 95 %; held-out estimate ")
    assert "*The critic" not in "\n".join(lines)
    assert gate_markdown(result_of(Maximum(value=1.2))).count("\n*") == 1


def test_an_address_cannot_leave_its_cell_its_line_or_its_element(result_of):
    result = result_of(address=EVIL)
    rows = [line for line in gate_markdown(result).splitlines() if line.startswith("| A") or line.startswith("| B")]
    assert len(rows) == 2
    for row in rows:
        assert row.replace("\\|", "").count("|") == 3
        assert row.count("`") == 2
        assert "<b>" not in "".join(row.split("`")[::2])  # only in code, where it is text
        assert row.isprintable()
    assert github_annotations(result).count("\n") == 1
    assert all("=" in line for line in github_outputs(result).splitlines())
    report = ElementTree.fromstring(junit(result))
    assert "&" in report.find(".//testcase").get("name")


def test_annotations_have_the_level_of_their_answer_and_escape_what_would_end_them(result_of, recorded):
    result = result_of(Maximum(value=1.2), NoWorse(before=recorded.population, tolerance=0.05), recorded=recorded)
    warning, error = github_annotations(result).splitlines()
    assert warning.startswith("::warning title=wdist gate%3A inconclusive::W1 between")
    assert error.startswith("::error title=wdist gate%3A fail::W1 between")
    assert "by more than 5 %25" in error
    assert github_annotations(result_of()).startswith("::notice title=wdist gate%3A pass::")


def test_outputs_are_exact(result_of):
    outputs = dict(line.split("=", 1) for line in github_outputs(result_of()).splitlines())
    assert outputs["verdict"] == "pass"
    assert float(outputs["upper"]) == 1.5
    assert float(outputs["lower"]) == result_of().interval.lower
    assert outputs["confidence"] == "0.95"
    assert "upper=\n" in github_outputs(result_of(upper=None))


@pytest.mark.parametrize(
    ("maximum", "accept", "counted", "child"),
    [
        (2.0, False, None, None),
        (0.5, False, "failures", "failure"),
        (1.2, False, "errors", "error"),
        (1.2, True, "skipped", "skipped"),
    ],
)
def test_the_test_report_counts_what_did_not_pass(result_of, maximum, accept, counted, child):
    suites = ElementTree.fromstring(junit(result_of(Maximum(value=maximum)), accept_inconclusive=accept).encode())
    assert suites.tag == "testsuites"
    for element in (suites, suites.find("testsuite")):
        assert element.get("tests") == "1"
        for name in ("failures", "errors", "skipped"):
            assert element.get(name) == str(int(name == counted))
    (case,) = suites.iter("testcase")
    assert [each.tag for each in case] == [*([child] if child else []), "system-out"]
    assert case.get("name").startswith(f"within the maximum of {maximum:g}, population: ")


def test_a_maximum_of_the_lower_end_is_called_a_maximum_and_shown_as_it_was_written(result_of):
    result = result_of(LowerMaximum(value=0.1))
    for text in (shown(result), gate_markdown(result)):
        assert "baseline" not in text
        assert "0.1001" not in text
        assert "maximum" in text
