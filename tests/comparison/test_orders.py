"""Orders at four levels: paired tests of the same samples of the reference, wrong no more often than they say."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from scipy import stats

from tests.comparisons import made_comparison, made_entry
from wdist import compare
from wdist.comparison.orders import undivided
from wdist.estimation.blocks import summary
from wdist.estimation.result import HeldOut
from wdist.estimation.semi_discrete import SemiDiscrete

WIDE = (0.0, 0.5, 9.0)


def entry(name, *, held_out=(), block=None):
    """A source whose critics have these values on the held-out samples, a pair for each fold."""
    made = made_entry(name, WIDE)
    folds = tuple(
        replace(made.estimate.critic, held_out=HeldOut(a=a, b=b, rounding=0.0, ranges=(None, None), apart=None))
        for a, b in held_out
    )
    critic = folds[0] if len(folds) == 1 else replace(made.estimate.critic, folds=folds)
    return replace(made, estimate=replace(made.estimate, critic=critic, block=block))


def blocks(values, *, size=5, seed=0):
    return summary(np.asarray(values, dtype=float), size, confidence=0.95, diameter=None, seed=seed)


def test_detected_pairs_the_values_of_the_reference():
    """Sources of little spread leave a t-test of the paired differences of the reference."""
    g, little = np.random.default_rng(1).normal(size=40), np.tile([-1e-3, 1e-3], 10)
    f = g + stats.norm.ppf((np.arange(40) + 0.5) / 40)
    one = entry("one", held_out=[(f, 0.1 + little)])
    other = entry("other", held_out=[(g, 0.4 - little[:16])])
    (pair,) = made_comparison(one, other).orders.detected.tested
    expected = stats.ttest_1samp(f - g, 0.1 - 0.4)
    assert pair.p_value == pytest.approx(expected.pvalue, rel=1e-3)
    assert (pair.nearer == "one") == (expected.statistic < 0)


def test_detected_has_the_errors_of_all_three_groups_and_of_folds():
    random = np.random.default_rng(2)
    held_out = [(random.normal(size=50), random.normal(size=40) - 0.5) for _ in range(2)]
    one, other = (entry(name, held_out=[each]) for name, each in zip(("one", "other"), held_out, strict=True))
    (pair,) = made_comparison(one, other).orders.detected.tested
    groups = (held_out[0][0] - held_out[1][0], -held_out[0][1], held_out[1][1])
    error = np.sqrt(sum(each.var(ddof=1) / len(each) for each in groups))
    z = abs(sum(each.mean() for each in groups)) / error
    assert pair.p_value == pytest.approx(2 * stats.norm.sf(z), rel=0.1), "about 130 degrees of freedom"
    folded = [entry(name, held_out=[each] * 4) for name, each in zip(("one", "other"), held_out, strict=True)]
    (pair,) = made_comparison(*folded).orders.detected.tested
    assert pair.p_value == pytest.approx(2 * stats.norm.sf(z * np.sqrt(4 / 2)), rel=0.1), "folds share their training: twice"


def test_blocks_are_paired_and_centred():
    random = np.random.default_rng(3)
    first, second = random.random((10, 3)), random.random((12, 3))
    one, other = entry("one", block=blocks(first)), entry("other", block=blocks(second))
    (pair,) = made_comparison(one, other).orders.block.tested
    centred = np.array([1, -0.5, -0.5])
    assert pair.p_value == pytest.approx(stats.ttest_rel(first @ centred, second[:10] @ centred).pvalue)


@pytest.mark.parametrize("changed", [{"size": 6}, {"seed": 1}], ids=str)
def test_blocks_of_other_samples_are_not_compared(changed):
    values = np.random.default_rng(4).random((10, 3))
    one, other = entry("one", block=blocks(values)), entry("other", block=blocks(values + 9, **changed))
    assert made_comparison(one, other).orders.block.tested == ()
    assert made_comparison(one, entry("none")).orders.block.tested == ()


def test_held_out_samples_that_differ_are_not_compared():
    values = np.random.default_rng(5).normal(size=50)
    one, other = entry("one", held_out=[(values, values)]), entry("other", held_out=[(values[:40], values)])
    assert made_comparison(one, other).orders.detected.tested == ()
    folded = entry("folded", held_out=[(values, values)] * 2)
    assert made_comparison(one, folded).orders.detected.tested == ()


def test_equal_values_are_no_order():
    values = np.ones(20)
    one, other = (entry(name, held_out=[(values, values)], block=blocks(np.ones((10, 3)))) for name in ("one", "other"))
    orders = made_comparison(one, other).orders
    assert orders.detected.claims == orders.block.claims == ()
    assert [each.p_value for each in (*orders.detected.tested, *orders.block.tested)] == [1.0, 1.0]


def test_of_equal_sources_a_wrong_order_is_seldom_claimed():
    """Four sources of one distribution, each with its own critic: most of the samples that both distances rest on are the same."""
    random, runs, wrong = np.random.default_rng(6), 300, {"detected": 0, "block": 0}
    for _ in range(runs):
        shared = random.normal(size=(60, 1))
        made = []
        for name in "abcd":
            w = random.normal(size=2)
            reference = (shared @ w[:1]) + 0.3 * random.standard_t(4, size=60)
            values = np.stack([random.normal(size=10) + shared[:10, 0], shared[:10, 0], random.normal(size=10)], axis=1)
            made.append(entry(name, held_out=[(reference, w[0] * random.normal(size=60))], block=blocks(values)))
        orders = made_comparison(*made).orders
        for level in wrong:
            wrong[level] += bool(getattr(orders, level).claims)
    assert all(count <= stats.binom.ppf(0.999, runs, 0.05) for count in wrong.values()), wrong


def test_rows_that_come_from_the_same_inputs_do_not_make_an_order_sure():
    """What is large in one source is small in the other, as for generators with the same latents."""
    random, runs, wrong = np.random.default_rng(11), 300, 0
    for _ in range(runs):
        reference, values = random.normal(size=(2, 60))
        one, other = (entry(name, held_out=[(reference, sign * values)]) for name, sign in (("one", 1), ("other", -1)))
        wrong += bool(made_comparison(one, other).orders.detected.claims)
    assert wrong <= stats.binom.ppf(0.999, runs, 0.05)


def test_the_level_that_claims_the_most_decides_and_the_stronger_one_of_two():
    random = np.random.default_rng(7)
    noise, far = random.normal(size=60), random.normal(size=60) - 5
    near, away = entry("near", held_out=[(noise, noise)]), entry("away", held_out=[(noise, far)])
    found = made_comparison(near, away)
    assert found.orders.decided.level == "detected"
    assert found.orders.decided.groups == (("near",), ("away",))
    assert [found.places(each) for each in found.ranking] == [(1, 1), (2, 2)]
    disjoint = [
        replace(each, estimate=replace(each.estimate, critic=replace(each.estimate.critic, population=population.population)))
        for each, population in zip((near, away), (made_entry("", (0.1, 0.2, 0.3)), made_entry("", (1.0, 2.0, 3.0))), strict=True)
    ]
    assert made_comparison(*disjoint).orders.decided.level == "population"


def test_claims_divide_a_ranking():
    claims = made_comparison(
        made_entry("a", (0, 1, 2)), made_entry("b", (3, 4, 5)), made_entry("c", (3, 4, 5))
    ).orders.population.claims
    assert undivided(["a", "b", "c"], claims) == (("a",), ("b", "c"))


def test_critics_and_blocks_order_what_intervals_leave_open():
    """In 16 dimensions the upper bounds are far above the distances; the tests are not."""
    random = np.random.default_rng(8)
    reference, *sources = (random.normal(size=(400, 16)) + shift / 4 for shift in (0.0, 0.5, 2.0, 4.0))
    found = compare(reference, sources, names=["a", "b", "c"], critic="mean-difference", folds=2)
    assert len({entry.estimate.block.size for entry in found.ranking}) == 1
    within = [entry.estimate.block.within_a_values for entry in found.ranking]
    assert all(np.allclose(one, other, rtol=1e-8) for one, other in pairwise(within)), "the blocks of the reference are the same"
    for order in (found.orders.detected, found.orders.block):
        assert order.groups == (("a",), ("b",), ("c",))
        assert len(order.claims) == 3
    assert len(found.orders.population.claims) < 3


def test_generators_are_ordered_by_their_distance_from_the_samples_of_the_reference():
    def drawn(name, lower, upper):
        bounds = SemiDiscrete(estimate=lower, lower=lower, upper=upper, confidence=0.95, method="student", n=9, draws=600)
        made = entry(name)
        return replace(made, estimate=replace(made.estimate, semi_discrete=bounds))

    found = made_comparison(drawn("a", 1.0, 1.2), drawn("b", 1.1, 1.3), drawn("c", 1.25, 1.4), entry("a file")).orders.reference
    assert [(claim.nearer, claim.farther) for claim in found.claims] == [("a", "c")]
    assert not found.claims[0].certain


def improving(made):
    """The same source with critics that had not stopped improving."""
    critic = replace(made.estimate.critic, rise=0.2)
    return replace(made, estimate=replace(made.estimate, critic=critic))


def test_no_source_is_called_nearer_while_its_critics_improve():
    """Longer training finds more of the nearer source, which can reverse the order; more of the farther one cannot."""
    random = np.random.default_rng(9)
    noise = random.normal(size=60)
    near, far = entry("near", held_out=[(noise, noise)]), entry("far", held_out=[(noise, random.normal(size=60) - 5)])
    (claim,) = made_comparison(near, improving(far)).orders.detected.claims
    assert (claim.nearer, claim.farther) == ("near", "far")
    open_ = made_comparison(improving(near), far).orders.detected
    assert (open_.claims, open_.withheld) == ((), (claim,))
    assert open_.tested == (claim,)
    assert open_.groups == (("near", "far"),)


def test_an_order_that_no_test_finds_is_not_withheld():
    values = np.random.default_rng(10).normal(size=60)
    one, other = (improving(entry(name, held_out=[(values, values)])) for name in ("one", "other"))
    assert made_comparison(one, other).orders.detected.withheld == ()
