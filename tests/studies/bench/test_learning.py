"""Learning curves: rows of every critic and size, held against the truth."""

import json
from dataclasses import replace

from wdist.report.documents.forms import document_text, model
from wdist.studies.bench import learning
from wdist.studies.bench.learning import CRITICS, KNOWN, PAIRS, LearningRow, conclude
from wdist.studies.study import Conditions
from wdist.training.catalogue import CATALOGUE

STUDY = learning.STUDY
ROW = LearningRow(name="cones-3", critic="cones", samples=1000, dim=2, seed=0, training=1.1, fresh=0.9, steps=5, seconds=0.1)


def test_pairs_and_critics_exist():
    assert set(PAIRS) <= {case.name for case in KNOWN}
    assert set(CRITICS) <= set(CATALOGUE)


def test_a_critic_is_measured_on_its_own_samples_and_on_fresh_ones():
    result = STUDY.run(Conditions(only=("subspaces-dim-16 1k single-cone", "subspaces-dim-16 5k single-cone"), seeds=(0, 1)))
    assert [(row.samples, row.seed) for row in result.rows] == [(1000, 0), (1000, 1), (5000, 0), (5000, 1)]
    for row in result.rows:
        assert 0.1 < row.fresh < 0.9
        assert abs(row.training - row.fresh) < 0.15
    model("bench").model_validate(json.loads(document_text(result, command="bench")))


def test_a_critic_above_the_truth_is_found_and_each_pair_has_a_panel():
    good = conclude([ROW, replace(ROW, critic="elliptic-cones"), replace(ROW, name="sphere-128", samples=5000)])
    assert [check.holds for check in good.checks] == [True]
    assert [panel.title for panel in good.panels] == ["cones-3", "sphere-128"]
    assert {series.name for series in good.panels[0].series} == {"cones", "elliptic-cones"}
    assert [check.holds for check in conclude([replace(ROW, fresh=1.01)]).checks] == [False]
