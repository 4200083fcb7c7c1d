"""The suite of Lipschitz bounds: known constants are met, and wrong ends would be told."""

from dataclasses import replace

from wdist.studies.bench.lipschitz import conclude, exact_constant, random_network
from wdist.studies.study import Conditions, find_study


def test_rows_meet_the_known_constant():
    result = find_study("bench", "lipschitz").run(Conditions(quick=True, only=("exact 2x4", "tanh 2x10")))
    exact, tanh = result.rows
    assert exact.exact == exact_constant(random_network([8, 4, 3], "relu", 0))
    assert exact.exact <= exact.semidefinite <= 1.01 * exact.exact
    assert tanh.exact is None
    assert tanh.found <= tanh.semidefinite <= tanh.averaged <= tanh.product
    assert all(check.holds for check in result.conclusion.checks)
    wrong = conclude([replace(exact, semidefinite=0.9 * exact.exact)])
    assert [check.holds for check in wrong.checks] == [False, True]
