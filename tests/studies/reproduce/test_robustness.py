"""Table 7, figures 8 and 9: errors in their order, certificates that no attack breaks, and the rule of the paper beside ours."""

import dataclasses

import pytest

from wdist.studies.catalogue import find_study
from wdist.studies.reproduce import robustness


@pytest.fixture
def small(monkeypatch, blobs):
    """Small networks, short attacks and ten clouds instead of digits."""
    sizes = dataclasses.replace(robustness._QUICK, width=16, steps=60, batch_size=64, inner=2, images=60)
    monkeypatch.setattr(robustness, "_QUICK", sizes)
    monkeypatch.setattr(robustness, "ITERATIONS", 15)
    monkeypatch.setattr(robustness, "digits", lambda conditions, train: blobs)


@pytest.fixture
def run(small, conditions):
    """Runs a study and returns its numbers by row and column, and what it concludes."""

    def numbers(name):
        result = find_study("reproduce", name).run(conditions)
        return {(row.row, row.column): row for row in result.rows}, result.conclusion

    return numbers


def test_every_contestant_has_the_papers_errors_beside_its_own_in_the_right_order(run):
    """Clean <= attacked <= certified, and a larger attack misleads more."""
    found, conclusion = run("table7")
    names = [each.name for each in robustness.CONTESTANTS]
    assert {row for row, _ in found} == set(names)
    for name in names:
        ours = {column: found[name, column].ours for column in robustness._COLUMNS}
        for eps in ("0.1", "0.3"):
            assert ours["clean"] <= ours[f"PGD {eps}"] <= ours[f"certified {eps}"]
            assert ours[f"FGS {eps}"] <= ours[f"certified {eps}"]
        assert ours["PGD 0.1"] <= ours["PGD 0.3"]
        assert found[name, "certified 0.1"].paper is None
    assert found["Margin-0.3 MaxMin", "PGD 0.3"].paper == 77.7
    assert found["PGD 0.15", "FGS 0.1"].paper == 8.1
    assert found["Margin-0.1 MaxMin", "clean"].ours < 30
    assert found["Standard ReLU", "clean"].ours < 30
    certificates = conclusion.checks[-2]
    assert certificates.claim.startswith("No attack misleads")
    assert certificates.holds


def test_accuracy_under_attack_falls_with_its_size(run):
    found, conclusion = run("figure8")
    (panel,) = conclusion.panels
    for series in panel.series:
        assert list(series.y) == sorted(series.y, reverse=True)
        assert series.x == robustness._GRID
    assert found["PGD 0.1", "accuracy, PGD 0"].paper == pytest.approx(98.98)
    assert found["PGD 0.1", "accuracy, PGD 0.02"].paper is None


def test_the_paper_certifies_more_than_what_is_proved(run):
    """Its rule asks for half the margin."""
    found, conclusion = run("figure9")
    for each in robustness._MARGIN:
        naive = found[each.name, "with a margin above K eps, as in the paper"].ours
        assert found[each.name, "certified accuracy at 0.1"].ours <= naive == found[each.name, "certified accuracy at 0.05"].ours
    (panel,) = conclusion.panels
    assert sum(series.reference for series in panel.series) == len(robustness._MARGIN)
    for series in panel.series:
        assert list(series.y) == sorted(series.y, reverse=True)
