"""Proofs of positive semidefiniteness: true where the slack suffices, never where an eigenvalue is negative."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wdist.lipschitz.linalg.semidefinite import is_positive_semidefinite


def with_eigenvalues(values: torch.Tensor, seed: int) -> torch.Tensor:
    Q = torch.linalg.qr(torch.randn(len(values), len(values), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)).Q
    A = (Q * values) @ Q.T
    return (A + A.T) / 2


@settings(max_examples=50, deadline=None)
@given(size=st.integers(1, 30), seed=st.integers(0, 1000), least=st.sampled_from([-1.0, -1e-6, -1e-10, -1e-12, 1e-9, 1e-3]))
def test_verdict_follows_the_smallest_eigenvalue(size, seed, least):
    values = torch.linspace(1, 2, size, dtype=torch.float64)
    values[0] = least
    A = with_eigenvalues(values, seed)
    assert is_positive_semidefinite(A, torch.zeros_like(A)) == (least > 0)


@pytest.mark.parametrize(("share", "proved"), [(0.3, True), (1.001, False)])
def test_error_counts(share, proved):
    """A matrix of ones times e has the eigenvalue n e."""
    A = torch.eye(10, dtype=torch.float64)
    assert is_positive_semidefinite(A, torch.full_like(A, share / 10)) == proved


def test_badly_scaled_matrices_are_proved():
    scale = torch.logspace(-60, 60, 12, dtype=torch.float64)
    A = with_eigenvalues(torch.linspace(0.01, 1, 12, dtype=torch.float64), 0) * scale * scale[:, None]
    assert is_positive_semidefinite(A, torch.zeros_like(A))


def test_nan_is_not_proved():
    A = torch.eye(3, dtype=torch.float64)
    A[0, 1] = A[1, 0] = torch.nan
    assert not is_positive_semidefinite(A, torch.zeros_like(A))
