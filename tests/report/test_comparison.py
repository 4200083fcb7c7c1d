"""A comparison as a reader sees it, in the terminal and in Markdown."""

import csv
import io
import json
from dataclasses import replace

import pytest
import torch

from tests.comparisons import made_comparison, made_entry
from tests.report.consoles import shown
from wdist.estimation.result import HeldOut
from wdist.estimation.semi_discrete import SemiDiscrete
from wdist.report.documents.comparison import comma_separated, markdown
from wdist.report.documents.forms import document_text
from wdist.report.numbers import nearest
from wdist.report.terminal.comparison import interval_bar

COLUMNS = (
    "name kind address first_place last_place population_estimate population_lower population_upper confidence held_out_reference "
    "held_out_source samples_lower samples_upper samples_exact n_reference n_source critic lipschitz_bound steps seconds detected"
)
"""Columns of the comma-separated values, in their order: what scripts rely on."""
FOUR = (
    made_entry("late.h5", (0.3125, 0.4375, 1.0), (0.875, 0.875)),
    made_entry("middle.h5", (1.21, 1.35, 1.9), (1.5, 1.6)),
    made_entry("early.h5", (1.31, 1.41, 2.2), (2.1, 2.1)),
    made_entry("broken.h5", (4.5, 4.6, None), (5.1, None), counts=(500, 90)),
)
DRAWN = SemiDiscrete(estimate=1.0, lower=0.9, upper=1.1, confidence=0.95, method="student", n=500, draws=400)


@pytest.mark.parametrize("width", [45, 72, 80, 100, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_no_number_is_cut(width):
    comparison = made_comparison(
        *FOUR, made_entry("runs/of/a/very/long/name/that/nobody/types.safetensors", (1e-7, 2e-7, 123456.7))
    )
    lines = shown(comparison, width).splitlines()
    assert max(len(line) for line in lines) <= width
    assert "…" not in "".join(lines)
    assert any("9.9999e-8" in line or "1.000e-7" in line or "9.999e-8" in line for line in lines)


@pytest.mark.parametrize("width", [80, 100, 120])
def test_bars_stand_on_one_scale_beside_names_that_stay_whole(width):
    lines = {
        name: line
        for line in shown(made_comparison(*FOUR), width).splitlines()
        for name in ("late", "middle")
        if "●" in line and name in line
    }
    assert "late.h5" in lines["late"]
    assert lines["late"].index("●") < lines["middle"].index("●")
    assert lines["late"].rindex("━") < lines["middle"].index("━")


def test_the_order_that_is_claimed_is_said_and_what_is_left_open():
    words = " ".join(shown(made_comparison(*FOUR), 200).split())
    proved = (
        "Proved order, nearest first, with 95 % confidence: late.h5 < (middle.h5, early.h5) < broken.h5; sources in parentheses are"
    )
    assert words.startswith(f"{proved} not separable.")
    assert "itself" not in words
    assert (
        "No estimate of the sample size needed to separate the populations of middle.h5 and early.h5: the estimates differ by less"
        in words
    )
    assert "themselves: late.h5 < middle.h5 < early.h5 < broken.h5. They differ in size, from 90 to 400" in words
    assert "which is not a bound. The 10 bounds for the distributions, over 5 results" in words
    assert "Noise floor: two halves of the reference, 250 samples each, are 0.5000 apart" in words
    assert "the upper bound for them is 0.7500" in words


def test_how_many_samples_would_decide_is_said_with_two_digits():
    comparison = made_comparison(made_entry("a", (0.3, 0.4, 1.5)), made_entry("b", (1.3, 1.4, 2.7)))
    words = " ".join(shown(comparison, 200).split())
    (separation,) = comparison.separations
    assert words.startswith("No order is proved at this sample size: all intervals overlap.")
    assert f"{nearest(separation.times, 2)} times as many, might separate the populations of a and b: an order" in words
    assert "of magnitude, not a bound" in words


def test_a_claim_inside_a_group_is_not_lost():
    chain = (made_entry("a", (0.0, 0.1, 0.5)), made_entry("b", (0.4, 0.5, 0.9)), made_entry("c", (0.6, 0.8, 1.2)))
    assert "Proved with 95 % confidence: a < c; the rest is not separable" in " ".join(shown(made_comparison(*chain), 200).split())


def test_many_pairs_are_counted_and_not_listed():
    """Fifteen sources have 105 pairs; each is proved nearer than those at least four places behind it."""
    chain = [made_entry(f"run {k}", (0.3 * k, 0.3 * k + 0.5, 0.3 * k + 1)) for k in range(15)]
    words = " ".join(shown(made_comparison(*chain), 200).split())
    assert words.startswith(
        "Proved with 95 % confidence: the order of 66 of 105 pairs, which the JSON document lists; the rest is not separable."
    )
    assert "No estimate of the sample size needed to separate the populations of 14 pairs of neighbours: the estimates" in words
    enough = [made_entry(f"run {k}", (1.3 * k + 0.2, 1.3 * k + 0.3, 1.3 * k + 1.7)) for k in range(15)]
    assert "might separate the populations of 14 pairs of neighbours: orders of magnitude, not bounds." in " ".join(
        shown(made_comparison(*enough), 200).split()
    )


def test_one_source_and_no_noise_floor_leave_whole_sentences():
    words = " ".join(shown(made_comparison(FOUR[0], floor=None), 200).split())
    assert words.startswith("late.h5 differs from the reference: W1 is at least 0.31250, with 95 % confidence.")
    assert "Noise floor" not in words


def rising():
    """Two sources that a test tells apart, but the critics of the one that seems nearer had not stopped improving."""
    noise = torch.linspace(-1, 1, 50).numpy()
    far = [made_entry("late.h5", (0.3, 0.4, 3.0)), made_entry("early.h5", (1.3, 1.4, 4.0))]
    return made_comparison(*(detected(each, noise, noise - shift, 0.1 / shift**5) for each, shift in zip(far, (1, 2), strict=True)))


def detected(made, a, b, rise):
    held_out = HeldOut(a=a, b=b, rounding=0.0, ranges=(None, None), apart=None)
    return replace(made, estimate=replace(made.estimate, critic=replace(made.estimate.critic, held_out=held_out, rise=rise)))


@pytest.mark.parametrize("width", [80, 120])
def test_a_comparison_says_which_critics_were_trained_too_shortly_to_call_a_source_nearer(width):
    words = " ".join(shown(rising(), width).split())
    assert words.startswith(
        "No order is claimed: the critics had not stopped improving when training ended; give more --steps or a"
    )
    assert "Critics that judge late.h5 had not stopped improving when training ended, and longer training may find more" in words
    assert "open, rising" in words
    assert "tested in pairs, asymptotic; rising: longer training may find more for the nearer source." in words


@pytest.mark.parametrize(
    ("semi_discrete", "levels"),
    [(None, ["samples", "populations", "detected", "blocks"]), (DRAWN, ["samples", "popul.", "reference", "detected", "blocks"])],
    ids=["files", "generators"],
)
def test_long_names_leave_room_for_every_level(semi_discrete, levels):
    """The last level may be the one that decides; generators have one level more."""
    made = rising()
    ranking = tuple(
        replace(
            entry,
            name=f"runs/2026-11/{name}-of-the-second-training.safetensors",
            estimate=replace(entry.estimate, semi_discrete=semi_discrete),
        )
        for entry, name in zip(made.ranking, ("late", "early"), strict=True)
    )
    lines = shown(replace(made, ranking=ranking), 80).splitlines()
    (headers,) = (line for line in lines if line.startswith("nearer"))
    assert headers.split() == ["nearer", "farther", *levels]
    assert max(map(len, lines)) <= 80


def test_files_say_so_too():
    assert "open, rising" in markdown(rising())
    document = json.loads(document_text(rising(), command="compare"))
    (withheld,) = document["orders"]["detected"]["withheld"]
    assert (withheld["nearer"], document["orders"]["detected"]["claims"]) == ("late.h5", [])
    judged = [(each["detected_by_judges"], each["judges"]) for each in document["ranking"]]
    assert judged == [(1.0, ["late.h5"]), (2.0, ["early.h5"])]


def test_what_is_missing_is_named():
    words = shown(made_comparison(*FOUR[:2], left_out=("x", "y"), interrupted=True))
    assert "No result for x, y." in words
    assert "interrupted" in words


@pytest.mark.parametrize(
    "ends", [(0.0, 0.0, 1.0), (0.2, 0.5, 0.9), (0.5, -0.3, 2.0), (0.3, 0.99, None), (0.9, 1.4, 1.0), (0, 0, 0)]
)
@pytest.mark.parametrize("ascii_only", [False, True])
def test_an_interval_bar_covers_its_ends_and_marks_its_estimate(ends, ascii_only):
    lower, estimate, upper = ends
    bar = interval_bar(*ends, reach=1.0, width=20, ascii_only=ascii_only)
    assert len(bar) <= 20
    assert bar.isascii() == ascii_only
    mark = "o" if ascii_only else "●"
    assert bar.index(mark) == min(max(int(estimate * 20), 0), 19 if upper is not None else 18)
    line = bar.replace(mark, "=" if ascii_only else "━")
    if lower < 0.9:
        assert line.index("=" if ascii_only else "━") == min(int(lower * 20), bar.index(mark))
    assert (upper is None) == line.endswith((">", "▶"))


def test_without_unicode_everything_is_still_there():
    text = shown(made_comparison(*FOUR), 100, ascii_only=True)
    assert "=" in text
    assert "●" not in text


def test_markdown_is_a_table_with_a_row_for_each_and_the_sentences():
    told = markdown(made_comparison(*FOUR[:2], made_entry("odd|name_", (2.5, 2.6, 3))))
    rows = [line for line in told.splitlines() if line.startswith("|")]
    ranked, neighbours = rows[: 2 + 4], rows[2 + 4 :]
    assert len(neighbours) == 2 + 2
    for table in (ranked, neighbours):
        assert len({len(row.replace("\\|", "").split("|")) for row in table}) == 1
    assert "| late.h5 | middle.h5 | \\< | \\< | open | open |" in told
    assert "odd\\|name\\_" in told
    assert "| 1 | late.h5 | 0.4375 | 0.3125 to 1.000 | 0.8750 (exact) |" in told
    assert "**Proved order, nearest first, with 95 % confidence: late.h5 \\< middle.h5 \\<" in told
    assert told.endswith("\n")


def test_comma_separated_values_have_full_precision_and_nothing_where_there_is_none():
    comparison = made_comparison(*FOUR)
    rows = list(csv.DictReader(io.StringIO(comma_separated(comparison))))
    assert [row["name"] for row in rows] == [entry.name for entry in comparison.entries]
    assert list(rows[0]) == COLUMNS.split()
    for row, entry in zip(rows, comparison.entries, strict=True):
        assert float(row["population_lower"]) == entry.population.lower
        assert (row["population_upper"] == "") == (entry.population.upper is None)
    assert [row["kind"] for row in rows] == ["source"] * 4 + ["noise floor"]
    assert (rows[1]["first_place"], rows[1]["last_place"], rows[-1]["first_place"]) == ("2", "3", "")


def test_the_document_says_the_same():
    comparison = made_comparison(*FOUR)
    document = json.loads(document_text(comparison, command="compare"))
    assert (document["schema_version"], document["command"]) == ("1", "compare")
    assert [entry["name"] for entry in document["ranking"]] == [entry.name for entry in comparison.ranking]
    assert [(entry["first_place"], entry["last_place"]) for entry in document["ranking"]] == [(1, 1), (2, 3), (2, 3), (4, 4)]
    assert document["orders"]["population"]["groups"] == [["late.h5"], ["middle.h5", "early.h5"], ["broken.h5"]]
    claim = {"nearer": "late.h5", "farther": "middle.h5", "p_value": None, "certain": False}
    assert claim in document["orders"]["population"]["claims"]
    assert document["separations"][0]["times"] is None
    assert document["separations"][0]["reason"]
    assert document["ranking"][3]["population"]["upper"] is None
    assert document["noise_floor"]["samples"]["n_a"] == 250
    assert document["confidence"] == 0.95
    assert document["ranking"][0]["critic"]["certified"] is True
