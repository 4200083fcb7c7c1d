"""Two critics together: the constant that is best, and that nothing is lost."""

import pytest
import torch

from wdist.critics.blend import best_blend


def dual(values):
    return float(values[0].mean() - values[1].mean())


@pytest.fixture
def values(generator):
    """Values of two functions on 40 samples of A and 30 of B."""
    return [tuple(torch.randn(n, generator=generator, dtype=torch.float64) + shift for n in (40, 30)) for shift in (0.0, 0.3)]


def test_the_constant_is_the_best_of_a_fine_grid(values):
    first, second = values
    blend = best_blend(first, second)
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    reached = [
        dual([reduce(f, g + c) for f, g in zip(first, second, strict=True)])
        for c in grid
        for reduce in (torch.minimum, torch.maximum)
    ]
    assert max(reached) - 1e-12 <= blend.value <= max(reached) + 0.01


def test_the_value_is_what_the_blend_is_worth(values):
    first, second = values
    blend = best_blend(first, second)
    reduce = {"minimum": torch.minimum, "maximum": torch.maximum}[blend.how]
    together = [reduce(f, g + blend.constant) for f, g in zip(first, second, strict=True)]
    assert blend.value == pytest.approx(dual(together), abs=1e-12)


def test_both_together_are_never_worth_less_than_either_on_the_samples_that_decide(values):
    blend = best_blend(*values)
    assert blend.value >= max(dual(each) for each in values) - 1e-12
