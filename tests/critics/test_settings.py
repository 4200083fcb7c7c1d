"""Settings: values out of range are refused."""

import pytest

from wdist.critics.settings import CriticSettings
from wdist.errors import UsageError


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"depth": 1},
        {"depth": -3},
        {"group_size": 0},
        {"batch_size": 0},
        {"bjorck_order": 5},
        {"bjorck_order": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"learning_rate": float("inf")},
        {"lipschitz": -1.0},
        {"lipschitz": 1.5e-323},
        {"lipschitz": 1e7},
        {"lipschitz": float("nan")},
        {"optimizer": "sgd"},
        {"schedule": "sawtooth"},
        {"width": 10, "group_size": 4},
    ],
    ids=str,
)
def test_settings_out_of_range_are_refused_by_name(wrong):
    with pytest.raises(UsageError, match=next(reversed(wrong))):
        CriticSettings(**wrong)
