"""Witnesses: the samples that a critic tells apart most clearly."""

import pytest
import torch

from wdist.comparison import witnesses as module
from wdist.comparison.witnesses import Side, check_images, find_witnesses, image_axes
from wdist.data.sources.opening import open_source
from wdist.errors import UsageError


class FirstPixel:
    """Stands for a critic."""

    def potentials(self, x):
        return x[:, 0].double()


def side(source):
    return Side(images=source, source=source)


@pytest.fixture
def two_sides(generator):
    return tuple(torch.rand(50, 4, 4, generator=generator, dtype=torch.float64) for _ in range(2))


def test_they_are_the_highest_of_the_reference_and_the_lowest_of_the_source(two_sides, monkeypatch):
    monkeypatch.setattr(module, "_BATCH_NUMBERS", 16 * 7)
    found = find_witnesses(FirstPixel(), *(side(open_source(images)) for images in two_sides), count=5, seed=0)
    values = [images[:, 0, 0] for images in two_sides]
    assert found.reference_potentials == tuple(values[0].sort(descending=True).values[:5].tolist())
    assert found.source_potentials == tuple(values[1].sort().values[:5].tolist())
    assert found.reference.shape == found.source.shape == (5, 4, 4)
    for images, where, which in (
        (found.reference, two_sides[0], values[0].argmax()),
        (found.source, two_sides[1], values[1].argmin()),
    ):
        assert torch.equal(images[0], where[which])


def test_stored_bytes_are_shown_in_the_units_of_the_source():
    images = torch.arange(200, dtype=torch.uint8).repeat_interleave(4).reshape(200, 2, 2)
    found = find_witnesses(FirstPixel(), side(open_source(images)), side(open_source(images)), count=1, seed=0)
    assert float(found.reference.max()) == pytest.approx(199 / 255)


def test_draws_are_those_of_the_seed_and_as_many_as_asked_for():
    gaussian = side(open_source("synthetic:gaussian?dim=4"))
    found = find_witnesses(FirstPixel(), gaussian, gaussian, count=3, seed=1)
    again = find_witnesses(FirstPixel(), gaussian, gaussian, count=3, seed=1)
    assert torch.equal(found.reference, again.reference)
    assert found.reference_potentials[0] > 3
    assert found.source_potentials[0] < -3
    assert len(found.source) == 3


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((28, 28), (0, 1)),
        ((1, 28, 28), (1, 2, 0)),
        ((3, 32, 32), (1, 2, 0)),
        ((32, 32, 3), (0, 1, 2)),
        ((32, 32, 1), (0, 1, 2)),
        ((64,), None),
        ((1, 64), None),
        ((4, 28, 28), None),
        ((2, 3, 4, 5), None),
    ],
)
def test_images_are_recognised_by_their_shape(shape, axes):
    assert image_axes(shape) == axes
    info = open_source(torch.zeros(20, *shape)).info
    if axes is None:
        with pytest.raises(UsageError, match="witnesses shows images"):
            check_images(info)
    else:
        check_images(info)
