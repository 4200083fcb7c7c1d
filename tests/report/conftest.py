"""Estimates made by hand."""

import pytest

from tests.estimates import chosen_critic, compared_critics, made_estimate


@pytest.fixture
def comparison():
    return compared_critics()


@pytest.fixture
def auto():
    return chosen_critic()


@pytest.fixture
def estimate():
    return made_estimate()
