"""The suite of Lipschitz bounds: known constants are met, and wrong ends would be told."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from wdist.studies.bench.lipschitz import conclude, eclipse_network, exact_constant, random_network
from wdist.studies.catalogue import find_study
from wdist.studies.study import Conditions


def test_rows_meet_the_known_constant():
    result = find_study("bench", "lipschitz").run(Conditions(quick=True, only=("exact 2x4", "tanh 2x10")))
    exact, tanh = result.rows
    assert exact.exact == exact_constant(random_network([8, 4, 3], "relu", 0))
    assert exact.exact <= exact.semidefinite <= 1.01 * exact.exact
    assert tanh.exact is None
    assert tanh.found <= tanh.semidefinite <= tanh.averaged <= tanh.product
    assert all(check.holds for check in result.conclusion.checks)
    assert tanh.semidefinite <= tanh.fast * (1 + 1e-6) <= tanh.product * (1 + 1e-6)
    wrong = conclude([replace(exact, semidefinite=0.9 * exact.exact)])
    assert [check.holds for check in wrong.checks] == [False, True]


def test_networks_of_eclipse_come_from_its_seeds():
    """Norms from 0.4 to 1.8, in the order of numpy's legacy stream, and a bound at most that of the closed form."""
    first, second = (layer.weight.detach() for layer in eclipse_network(2, 20) if isinstance(layer, torch.nn.Linear))
    assert (first.shape, second.shape) == ((20, 4), (1, 20))
    norms = [float(torch.linalg.matrix_norm(weight, 2)) for weight in (first, second)]
    random = np.random.RandomState(20 * 7 + 2 * 13)
    assert norms[0] == pytest.approx(random.uniform(0.4, 1.8))
    random.randn(20, 4)
    assert norms[1] == pytest.approx(random.uniform(0.4, 1.8))
    (row,) = find_study("bench", "lipschitz").run(Conditions(quick=True, only=("eclipse 2x20",))).rows
    assert row.seed == 166
    assert row.found <= row.semidefinite <= row.fast * (1 + 1e-6)
    assert row.product == pytest.approx(norms[0] * norms[1])
