"""Pairs with a known distance: the number is proved from both sides, by a 1-Lipschitz potential and by a coupling."""

import functools

import numpy as np
import ot
import pytest
import torch
from scipy.stats import ks_2samp, wasserstein_distance

from tests.data.sources.conftest import refused
from wdist.data.sources import pairs
from wdist.data.sources.descents import SHAPES
from wdist.data.sources.funnels import FunnelField
from wdist.data.sources.opening import open_source
from wdist.errors import SourceError

DRAWS = 4000
PAIRS = {
    "absolute-value": pairs.absolute_value,
    "cones-1": lambda: pairs.cones(1),
    "cones-3": lambda: pairs.cones(3),
    "cones-6": lambda: pairs.cones(6),
    "sphere-2": lambda: pairs.sphere(2),
    "sphere-128": lambda: pairs.sphere(128),
    "funnels-dim-1": lambda: pairs.funnels(1, 3),
    "funnels-dim-2": lambda: pairs.funnels(2, 16, seed=1),
    "funnels-dim-16": lambda: pairs.funnels(16, 64),
    "funnels-one": lambda: pairs.funnels(3, 1),
    **{f"{shape}-dim-3": functools.partial(pairs.descent, shape, 3) for shape in SHAPES},
    **{f"{shape}-dim-24": functools.partial(pairs.descent, shape, 24, pieces=3, seed=1) for shape in SHAPES},
    "gaussian-shift": lambda: pairs.gaussian_shift(10, 1.0),
    "gaussian-shift-back": lambda: pairs.gaussian_shift(1, -2.0),
    "gaussian-scale": lambda: pairs.gaussian_scale(10, 1.5),
    "gaussian-shrink": lambda: pairs.gaussian_scale(1, 0.25),
}


@functools.cache
def made(name):
    return PAIRS[name]()


def seeded(seed):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(params=PAIRS)
def pair(request):
    return made(request.param)


def test_the_potential_is_1_lipschitz(pair):
    points = torch.cat([pair.a.draw(300, seeded(0)), pair.b.draw(300, seeded(1))])
    points = torch.cat([points, points + 0.01 * torch.randn(points.shape, generator=seeded(2), dtype=torch.float64)])
    f = pair.potential(points)
    distances = torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist")
    assert ((f[:, None] - f[None, :]).abs() <= distances + 1e-12).all()


def test_the_coupling_moves_along_slope_one(pair):
    """|x - y| = f(x) - f(y) for every coupled pair of points: no coupling is cheaper, no potential steeper."""
    x, y = pair.coupled(DRAWS, seeded(0))
    assert torch.allclose(pair.potential(x) - pair.potential(y), torch.linalg.vector_norm(x - y, dim=1), rtol=0, atol=1e-9)


def test_the_coupling_has_the_sides_as_marginals(pair):
    for coupled, side in zip(pair.coupled(DRAWS, seeded(0)), (pair.a, pair.b), strict=True):
        drawn = side.draw(DRAWS, seeded(1))
        for coordinate in range(min(3, drawn.shape[1])):
            p = ks_2samp(coupled[:, coordinate].numpy(), drawn[:, coordinate].numpy(), method="asymp").pvalue
            assert p > 1e-4


def test_the_stated_distance_is_the_mean_of_the_potential_on_a_less_that_on_b(pair):
    a, b = (pair.potential(side.draw(DRAWS, seeded(seed))) for seed, side in enumerate((pair.a, pair.b)))
    error = float((a.var() / DRAWS + b.var() / DRAWS + pair.w1_error**2).sqrt())
    assert float(a.mean() - b.mean()) == pytest.approx(pair.w1, abs=5 * error + 1e-12)


@pytest.mark.parametrize("name", ["absolute-value", "funnels-dim-1", "gaussian-shift-back", "gaussian-shrink"])
def test_scipy_agrees_in_one_dimension(name):
    pair = made(name)
    a, b = (side.draw(200_000, seeded(seed)).flatten().numpy() for seed, side in enumerate((pair.a, pair.b)))
    assert wasserstein_distance(a, b) == pytest.approx(pair.w1, abs=0.01)


@pytest.mark.parametrize("name", ["cones-3", "sphere-2", "gaussian-scale"])
def test_exact_transport_between_samples_lies_just_above(name):
    """W1 of samples is biased upwards, the less the more there are and the lower the dimension."""
    pair = made(name)
    a, b = (side.draw(700, seeded(seed)).numpy() for seed, side in enumerate((pair.a, pair.b)))
    exact = ot.emd2([], [], np.linalg.norm(a[:, None] - b[None], axis=2))
    assert pair.w1 - 0.1 < exact
    if name != "gaussian-scale":
        assert exact < pair.w1 + 0.1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dim", [2, 16])
def test_the_paired_displacement_is_an_optimal_coupling_of_the_paired_samples(shape, dim):
    x, y = (side.numpy() for side in pairs.descent(shape, dim).coupled(150, seeded(0)))
    exact = ot.emd2([], [], np.linalg.norm(x[:, None] - y[None], axis=2))
    assert exact == pytest.approx(np.linalg.norm(x - y, axis=1).mean(), rel=1e-9)


def test_rows_of_a_file_are_moved_to_known_distance(tmp_path):
    rows = 3 + 5 * torch.rand(200, 6, generator=seeded(0), dtype=torch.float64)
    np.save(tmp_path / "a.npy", rows.numpy())
    pair = pairs.descent("segments", 6, base=open_source(tmp_path / "a.npy"))
    x, y = pair.coupled(DRAWS, seeded(1))
    assert set(map(tuple, x.tolist())) <= set(map(tuple, rows.tolist()))
    ways = torch.linalg.vector_norm(x - y, dim=1)
    assert torch.allclose(pair.potential(x) - pair.potential(y), ways, rtol=0, atol=1e-9)
    assert float(ways.mean()) == pytest.approx(pair.w1, abs=5 * float(ways.std()) / DRAWS**0.5)
    again = open_source(pair.b.info.address)
    assert torch.equal(again.draw(50, seeded(3)), pair.b.draw(50, seeded(3)))


def test_the_distance_from_a_box_is_that_to_its_nearest_corner_edge_or_face():
    """Against the minimum over a fine grid of the box."""
    box = SHAPES["polytopes"].make(2, 1, seeded(5))
    steps = torch.linspace(-1, 1, 401, dtype=torch.float64)
    z = torch.cartesian_prod(steps, steps) * box.halves[0]
    grid = box.centres[0] + z @ box.edges[0]
    x = 2 * torch.randn(100, 2, generator=seeded(6), dtype=torch.float64)
    assert torch.allclose(box.value(x), torch.cdist(x, grid).amin(1), atol=0.01)


@pytest.mark.parametrize(("dim", "funnels"), [(1, 3), (2, 16), (5, 40)])
def test_rays_end_where_the_potential_stops_growing_with_slope_one(dim, funnels):
    """Just before the end u grows with slope 1 from the centre; just beyond it another funnel is lower, or the box is left."""
    field = FunnelField.random(dim, funnels, seed=2)
    centres, distances, lengths = field.rays(field.draw_box(2000, seeded(0)))
    y = field.draw_box(2000, seeded(0))
    e = (y - centres) / distances[:, None]
    assert (distances <= lengths).all()
    own = field.potential(y) - distances
    before, beyond = (centres + e * (lengths * factor)[:, None] for factor in (1 - 1e-6, 1 + 1e-6))
    assert torch.allclose(field.potential(before), own + lengths * (1 - 1e-6), rtol=0, atol=1e-9)
    outside = (beyond.abs() > 2.5).any(dim=1)
    assert (outside | (field.potential(beyond) < own + lengths * (1 + 1e-6) - 1e-9)).all()


def test_the_distance_of_funnels_is_more_exact_than_the_mean_way_of_as_many_points():
    field = FunnelField.random(4, 8, seed=0)
    w1, error = field.transport_cost(20_000, seeded(0))
    y = field.draw_box(20_000, seeded(1))
    way = torch.linalg.vector_norm(y - field.pull(y), dim=1)
    plain_error = float(way.std()) / 20_000**0.5
    assert error < plain_error
    assert float(way.mean()) == pytest.approx(w1, abs=5 * (error + plain_error))


@pytest.mark.parametrize("name", PAIRS)
def test_each_side_is_the_source_that_its_address_opens(name):
    pair = made(name)
    for side in (pair.a, pair.b):
        again = open_source(side.info.address)
        assert again.info == side.info
        assert torch.equal(again.draw(50, seeded(3)), side.draw(50, seeded(3)))


def test_a_point_on_its_centre_stays_there():
    field = FunnelField.random(3, 5, seed=0)
    assert torch.equal(field.pull(field.centres), field.centres)
    assert torch.isfinite(field.rays(field.centres)[2]).all()


def test_draws_with_the_seed_of_the_funnels_do_not_hit_their_centres():
    field = FunnelField.random(3, 5, seed=0)
    assert field.rays(field.draw_box(5, seeded(0)))[1].min() > 1e-3


def test_equal_seeds_give_equal_funnels():
    assert pairs.funnels(3, 5, seed=7).w1 == pairs.funnels(3, 5, seed=7).w1 != pairs.funnels(3, 5, seed=8).w1


@pytest.mark.parametrize(
    "make",
    [
        lambda: pairs.cones(0),
        lambda: pairs.sphere(0),
        lambda: pairs.funnels(0, 3),
        lambda: pairs.funnels(3, 0),
        lambda: pairs.descent("network", 1),
        lambda: pairs.descent("network", 4, pieces=1),
        lambda: pairs.descent("xyz", 4),
        lambda: pairs.gaussian_shift(3, float("nan")),
        lambda: pairs.gaussian_scale(3, 0.0),
    ],
)
def test_pairs_out_of_range_are_refused(make):
    with pytest.raises(SourceError, match="choose"):
        make()


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("synthetic:sphre?dim=3", "did you mean 'sphere'"),
        ("synthetic:gaussian", r"'dim'; add it as synthetic:gaussian\?dim="),
        ("synthetic:gaussian?dim=3&shfit=1", "did you mean 'shift'"),
        ("synthetic:gaussian?dim=0", "dim=0 is not a whole number"),
        ("synthetic:gaussian?dim=3&scale=-1", "positive scale"),
        ("synthetic:gaussian?dim=3&shift=inf", "not a finite number"),
        ("synthetic:uniform?dim=3&low=2&high=1", "low < high"),
        ("synthetic:sphere?dim=3&radius=0", "positive radius"),
        ("synthetic:subspace?dim=3&side=a", "did you mean 'subspaces'"),
        ("synthetic:curves?from=a.npy&dim=3&side=a", "a.npy does not exist"),
        ("synthetic:curves?from=synthetic:gaussian&side=a", "'dim'"),
        ("synthetic:cones?n=3", "one of a, b for 'side'"),
        ("synthetic:cones?n=3&side=c", "choose one of a, b"),
        ("synthetic:dirac?dim=99999999999", "too large to draw"),
    ],
)
def test_bad_synthetic_addresses_are_refused(address, words):
    refused(address, words)
