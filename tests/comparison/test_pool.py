"""The pool of critics: each source is judged by the critic that finds most on the other folds, and claims keep their level."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats

from tests.comparisons import made_comparison, made_entry
from wdist import compare, estimate
from wdist.comparison.pool import best_found, values_on
from wdist.critics.frozen import Potentials
from wdist.data.access import Access
from wdist.data.pairing import open_pair
from wdist.estimation.result import HeldOut


def entry(name, held_out, on_others=None):
    """A source with the values of its critics on the reference and on its own samples, and on other sources by name."""
    made = made_entry(name, (0.0, 0.5, 9.0))
    folds = tuple(
        replace(made.estimate.critic, held_out=HeldOut(a=a, b=b, rounding=0.0, ranges=(None, None), apart=None))
        for a, b in held_out
    )
    others = {other: tuple(Potentials(values=each, rounding=0.0) for each in values) for other, values in (on_others or {}).items()}
    critic = replace(made.estimate.critic, folds=folds)
    return replace(made, estimate=replace(made.estimate, critic=critic), on_others=others)


def linear_entries(reference, sources, *, folds, pooled=True):
    """Sources judged over folds by critics along the differences of the means, which each learns from the other folds."""
    fold = np.arange(len(reference)) % folds

    def direction(x, k):
        apart = reference[fold != k].mean(0) - x[fold != k].mean(0)
        return apart / np.linalg.norm(apart)

    made = []
    for name, x in sources.items():
        w = [direction(x, k) for k in range(folds)]
        others = {other: [y[fold == k] @ w[k] for k in range(folds)] for other, y in sources.items() if other != name and pooled}
        made.append(entry(name, [(reference[fold == k] @ w[k], x[fold == k] @ w[k]) for k in range(folds)], others))
    return made


def shifted(random, shifts, *, n=100, dim=16):
    draws = {f"{place}: {shift}": random.normal(size=(n, dim)) + shift * np.eye(1, dim)[0] for place, shift in enumerate(shifts)}
    return random.normal(size=(n, dim)), draws


def test_values_on_the_sources_own_samples_are_the_held_out_ones():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(90, 3)), random.normal(size=(70, 3)) + 1
    found = estimate(a, b, critic="mean-difference", folds=3, couplings=False, baselines="none", seed=4)
    rows = open_pair(a, b, access=Access(), seed=4, device=torch.device("cpu")).b.everything
    for critic, values in zip(found.critic.folds, values_on(found, rows), strict=True):
        assert values.values == pytest.approx(critic.held_out.b, rel=1e-12)
        assert values.rounding < 1e-12


def test_the_other_folds_choose_the_critic():
    ones, zeros = np.ones(4), np.zeros(4)
    own = [(ones, zeros), (ones, ones), (ones, ones)]  # finds 1, 0 and 0
    far = entry("far", [(2 * ones, zeros)] * 3, {"near": [2 * ones, 1.5 * ones, 1.7 * ones]})  # finds 0, 0.5 and 0.3 of near
    found = best_found([entry("near", own), far])
    assert [each.critic for each in found["near"]] == ["far", "near", "near"]
    assert [each.value for each in found["near"]] == [0.0, 0.0, 0.0]
    assert [each.critic for each in found["far"]] == ["far"] * 3


def test_without_folds_or_with_other_samples_of_the_reference_a_source_has_its_own_critic():
    ones, zeros = np.ones(4), np.zeros(4)
    far = entry("far", [(9 * ones, zeros)], {"near": [zeros]})
    assert best_found([entry("near", [(ones, zeros)]), far])["near"][0].critic == "near"
    other = entry("far", [(np.full(5, 9.0), zeros)] * 2, {"near": [zeros] * 2})
    assert {each.critic for each in best_found([entry("near", [(ones, zeros)] * 2), other])["near"]} == {"near"}


def test_sources_judged_by_one_critic_are_compared_without_the_reference():
    random = np.random.default_rng(1)
    near, middle = (np.tile(stats.norm.ppf((np.arange(n) + 0.5) / n), (4, 1)) for n in (30, 29))
    middle, reference = middle - 0.4, random.normal(size=(4, 30))
    far = entry("far", [(9 + each, np.zeros(30) - 9) for each in reference], {"near": list(near), "middle": list(middle)})
    useless = [entry(name, [(np.zeros(30), np.zeros(n))] * 4) for name, n in (("near", 30), ("middle", 29))]
    tested = made_comparison(*useless, far).orders.detected.test_of("near", "middle")
    z = (near.mean() - middle.mean()) / np.sqrt(sum(each.var(ddof=1) / len(each) for each in (*near, *middle))) * 4
    assert tested.nearer == "near"
    assert tested.p_value == pytest.approx(2 * stats.t.sf(z, 228), rel=0.05), "neither reference nor shared training has a part"


@pytest.mark.parametrize("shift", [0.0, 0.4])
def test_of_sources_of_one_distribution_a_wrong_order_is_seldom_claimed(shift):
    random, runs = np.random.default_rng(2), 120
    found = [made_comparison(*linear_entries(*shifted(random, [shift] * 4), folds=5)) for _ in range(runs)]
    assert sum(bool(each.orders.detected.claims) for each in found) <= stats.binom.ppf(0.999, runs, 0.05)


def test_a_critic_of_a_far_source_finds_small_differences():
    random, runs = np.random.default_rng(3), 60
    draws = [shifted(random, [0.0, 0.6, 2.0], dim=32) for _ in range(runs)]

    def claimed(pooled):
        orders = [made_comparison(*linear_entries(*draw, folds=5, pooled=pooled)).orders.detected for draw in draws]
        assert all(claim.nearer < claim.farther for order in orders for claim in order.claims)
        return np.mean([order.between("0: 0.0", "1: 0.6") is not None for order in orders])

    assert claimed(True) > 2 * claimed(False)


def test_a_comparison_applies_all_critics_to_all_sources():
    reference, sources = shifted(np.random.default_rng(4), [0.0, 0.6, 3.0], n=60)
    found = compare(reference, list(sources.values()), names=list(sources), critic="mean-difference", couplings=False, folds=3)
    for one in found.ranking:
        assert set(one.on_others) == set(sources) - {one.name}
        assert [len(each.values) for values in one.on_others.values() for each in values] == [20] * 6
    assert "2: 3.0" in {each.critic for each in best_found(found.ranking)["1: 0.6"]}


def test_critics_of_a_source_that_shares_samples_are_left_out():
    reference, sources = shifted(np.random.default_rng(5), [0.0, 0.6, 3.0], n=60)
    first, second, third = sources.values()
    overlapping = np.concatenate([second[:6], first[:54]])
    found = compare(
        reference, [first, overlapping, third], names=["a", "b", "c"], critic="mean-difference", couplings=False, folds=3
    )
    assert {one.name: set(one.on_others) for one in found.ranking} == {"a": {"c"}, "b": {"c"}, "c": {"a", "b"}}


def test_a_source_is_not_called_nearer_while_the_critics_that_judge_it_improve():
    random = np.random.default_rng(6)
    near, reference = random.normal(size=(4, 30)), random.normal(size=(4, 30))
    useless = [(np.zeros(30), np.zeros(30))] * 4
    far = entry("far", [(9 + each, np.zeros(30) - 9) for each in reference], {"near": list(near)})
    found = made_comparison(entry("near", useless), far)
    assert {each.critic for each in found.found["near"]} == {"far"}
    assert len(found.orders.detected.claims) == 1
    rising = replace(far, estimate=replace(far.estimate, critic=replace(far.estimate.critic, rise=0.5)))
    orders = made_comparison(entry("near", useless), rising).orders.detected
    assert orders.claims == ()
    assert [claim.nearer for claim in orders.withheld] == ["near"]


def test_the_ranking_is_sorted_by_the_very_values_that_are_compared():
    """The critic of a far source finds most of b, although its own critic finds least."""
    shift = np.zeros(16)
    shift[0] = 1.0
    random = np.random.default_rng(7)
    reference = random.normal(size=(100, 16))
    sources = [random.normal(size=(100, 16)) + move * shift for move in (0.5, 0.7, 3.0)]
    found = compare(reference, sources, names=["a", "b", "c"], critic="mean-difference", couplings=False, folds=5)
    values = [found.detected(entry) for entry in found.ranking]
    assert values == sorted(values)
    for claim in found.orders.detected.tested:
        order = [entry.name for entry in found.ranking]
        assert order.index(claim.nearer) < order.index(claim.farther)
