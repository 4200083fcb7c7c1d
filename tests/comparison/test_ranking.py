"""Orders, places and sample sizes that follow from intervals."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.comparisons import made_comparison, made_entry
from wdist.comparison.orders import OrderClaim
from wdist.comparison.ranking import MOST_TIMES, short_names, times_to_separate


def claims(order):
    return {(claim.nearer, claim.farther) for claim in order}


def test_order_is_claimed_where_intervals_are_disjoint_and_nowhere_else():
    near, far = made_entry("near", (0.1, 0.2, 1.0)), made_entry("far", (1.1, 1.2, 2.0))
    touching, open_ended = made_entry("touching", (1.0, 1.15, 1.5)), made_entry("open", (0.0, 0.01, None))
    found = made_comparison(near, far, touching, open_ended)
    assert found.orders.population.claims == (OrderClaim(nearer="near", farther="far"),)


def test_without_an_upper_bound_a_source_may_be_farther_than_another_but_not_nearer():
    found = made_comparison(made_entry("bounded", (0.1, 0.2, 1.0)), made_entry("open", (1.5, 1.6, None)))
    assert claims(found.orders.population.claims) == {("bounded", "open")}


def test_places_are_those_that_the_claims_leave():
    a, b, c = made_entry("a", (0.0, 0.1, 0.5)), made_entry("b", (0.4, 0.5, 0.9)), made_entry("c", (0.6, 0.8, 1.2))
    d = made_entry("d", (2.0, 2.1, 3.0))
    found = made_comparison(d, b, a, c)
    assert [entry.name for entry in found.ranking] == ["a", "b", "c", "d"]
    assert [found.places(entry) for entry in found.ranking] == [(1, 2), (1, 3), (2, 3), (4, 4)]
    assert found.groups == (("a", "b", "c"), ("d",))
    assert ("a", "c") in claims(found.orders.population.claims)


def test_certain_orders_of_samples_are_separate_from_claimed_orders_of_distributions():
    first, second = made_entry("first", (0, 0.1, 2), (1.2, 1.3)), made_entry("second", (0, 0.2, 2), (1.0, 1.1), counts=(500, 90))
    found = made_comparison(first, second)
    assert found.orders.population.claims == ()
    assert claims(found.orders.samples.claims) == {("second", "first")}
    assert found.orders.samples.groups == (("second",), ("first",))
    assert found.groups == (("first", "second"),)
    assert not found.equal_counts


@settings(max_examples=40)
@given(st.lists(st.tuples(*[st.floats(0, 10)] * 3), min_size=1, max_size=7))
def test_claims_are_true_whenever_the_intervals_are(ends):
    """The middle of three numbers stands for the truth that lies between the ends."""
    truths = {f"s{i}": sorted(three)[1] for i, three in enumerate(ends)}
    entries = [made_entry(name, (sorted(three)[0], three[0], sorted(three)[2])) for name, three in zip(truths, ends, strict=True)]
    found = made_comparison(*entries)
    for claim in found.orders.population.claims:
        assert truths[claim.nearer] < truths[claim.farther]
    for entry in found.ranking:
        first, last = found.places(entry)
        nearer = sum(truth < truths[entry.name] for truth in truths.values())
        not_farther = sum(truth <= truths[entry.name] for truth in truths.values())
        assert first <= nearer + 1
        assert not_farther <= last
    assert [name for group in found.groups for name in group] == [entry.name for entry in found.ranking]
    claimed = claims(found.orders.population.claims)
    for i, group in enumerate(found.groups):
        assert all((near, far) in claimed for near in group for later in found.groups[i + 1 :] for far in later)


def bounds(*ends):
    return made_entry("x", ends).population


def test_the_number_of_samples_closes_the_rule_it_is_made_by():
    near, far = bounds(0.3, 0.4, 1.5), bounds(1.3, 1.4, 2.7)
    times, reason = times_to_separate(near, far, slope=0.2)
    assert reason is None
    assert times > 1
    assert 0.4 + 1.1 * times**-0.2 == pytest.approx(1.4 - 0.1 * times**-0.5, abs=1e-9)
    assert times_to_separate(near, far, slope=0.1)[0] > times
    assert times_to_separate(near, bounds(1.8, 1.9, 2.7), slope=0.2)[0] < times


@pytest.mark.parametrize(
    ("near", "far", "slope", "words"),
    [
        ((0.3, 0.4, None), (1.3, 1.4, 2), 0.2, "no upper bound"),
        ((0.3, 0.4, 1.5), (1.3, 1.4, 2), None, "could not be measured"),
        ((0.0, -0.1, 0.9), (0.0, 0.1, 0.9), 0.2, "not separated from the reference"),
        ((0.3, 0.4, 1.5), (0.4, 0.5, 1.5), 0.2, "less than their errors"),
        ((0.0, 0.05, 0.3), (0.1, 0.14, 1.5), 0.2, None),
        ((0.3, 0.4, 1.5), (0.7, 0.8, 1.5), 0.02, f"{MOST_TIMES:,.0f} times"),
    ],
)
def test_a_number_that_cannot_be_estimated_has_a_reason(near, far, slope, words):
    times, reason = times_to_separate(bounds(*near), bounds(*far), slope=slope)
    assert (times is None) == (reason is not None)
    assert reason is None if words is None else words in reason


def test_only_neighbours_that_are_not_separable_are_asked_about_and_samples_are_counted_on_the_larger_side():
    entries = [
        made_entry("a", (0.3, 0.4, 1.5), counts=(500, 100)),
        made_entry("b", (1.3, 1.4, 1.6)),
        made_entry("c", (1.9, 2, 3)),
    ]
    (only,) = made_comparison(*entries).separations
    assert (only.nearer, only.farther) == ("a", "b")
    assert only.samples == pytest.approx(500 * only.times, abs=1)


@pytest.mark.parametrize(
    ("addresses", "names"),
    [
        (("runs/early.h5", "runs/late.h5"), ("early.h5", "late.h5")),
        (("a/x.pt2", "b/x.pt2"), ("a/x.pt2", "b/x.pt2")),
        (("g.safetensors?factory=m:G&latent=normal:4", "h.pt2"), ("g.safetensors", "h.pt2")),
        (("synthetic:gaussian?dim=3", "synthetic:gaussian?dim=3&shift=1"), None),
        (("x.h5", "x.h5", "x.h5"), ("x.h5", "x.h5 (2)", "x.h5 (3)")),
        (("<tensor>", "<tensor>"), ("tensor", "tensor (2)")),
    ],
)
def test_names_are_the_shortest_that_differ(addresses, names):
    assert short_names(addresses) == (addresses if names is None else names)
    assert len(set(short_names(addresses))) == len(addresses)
