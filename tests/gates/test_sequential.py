"""Sequential gates: easy verdicts are cheap, hard ones stay open at a limit, and looking often costs no validity."""

import math

import numpy as np
import pytest
import torch

import wdist
from tests.trials import SMALL
from wdist.data.access import Access
from wdist.errors import UsageError
from wdist.estimation.options import EstimateOptions
from wdist.gates import sequential
from wdist.gates.gate import proof_of_gate
from wdist.gates.limits import GateLimits
from wdist.gates.rules import Answer
from wdist.gates.sequential import UntilDecided, run_until_decided
from wdist.report.documents.forms import model
from wdist.report.documents.gate import gate_markdown

A, B = "synthetic:gaussian?dim=3", "synthetic:gaussian?dim=3&shift=1"


def decided(a, b, maximum, *, most=2000, seconds=None, observer=None, **options):
    options = {"critic": "mean-difference", "baselines": "none", "device": "cpu", **options}
    limits = GateLimits(maximum=maximum, on="detected")
    until = UntilDecided(max_samples=most, max_seconds=seconds)
    return run_until_decided(a, b, EstimateOptions.validated(**options), limits, until, observer=observer)


@pytest.mark.parametrize(
    ("maximum", "answer", "most"), [(5.0, Answer.PASS, 104), (0.1, Answer.FAIL, 200), (0.7, Answer.FAIL, 2000)]
)
def test_easy_questions_take_few_samples_and_hard_ones_more(maximum, answer, most):
    result = decided(A, B, maximum)
    assert result.answer is answer
    assert result.looks[-1].samples <= most
    assert f"It took {result.looks[-1].samples} samples of each side." in result.verdict.reason
    assert result.interval.confidence == result.confidence == 0.95


def test_what_is_not_decided_stays_open_and_says_what_would_decide_it():
    result = decided(A, B, 1.0, most=300)
    assert result.answer is Answer.INCONCLUSIVE
    assert 290 < result.looks[-1].samples <= 300
    assert result.verdict.suggestions[0] == "--max-samples 300 is reached."
    assert "times as many samples" in result.verdict.suggestions[1]
    assert decided(A, B, 1.0, most=300, seconds=1e-9).looks[-1].samples == 40
    assert decided(A, B, 1.0, most=300).looks == result.looks, "the same seed, the same course"


def test_a_pass_waits_for_critics_that_have_seen_something():
    """After 5 steps on few samples a network finds nothing; that passes once it has seen 80 samples, or at the last batch."""
    options = {"critic": "groupsort-bjorck", "settings": SMALL, "steps": 5}
    result = decided(A, B, 0.9, **options)
    assert result.looks[2].upper < 0.9
    assert [look.samples for look in result.looks[:4]] == [40, 60, 80, 104]
    assert result.answer is Answer.PASS
    assert decided(A, B, 0.9, most=80, **options).answer is Answer.PASS


def test_critics_that_have_seen_little_do_not_narrow_the_upper_end(monkeypatch):
    """In many dimensions the first critics miss most of a shift: with them, the average would pass at a lower limit."""
    a, b = np.random.default_rng(0).normal(size=(2, 300, 60))
    result = decided(a + 2 * np.eye(60)[0], b, 2.0)
    assert all(look.lower <= look.estimate <= look.upper for look in result.looks)
    monkeypatch.setattr(sequential, "_ENOUGH_TO_PASS", 0)
    assert result.looks[-1].upper > decided(a + 2 * np.eye(60)[0], b, 2.0).looks[-1].upper


def test_looking_often_costs_no_validity():
    """The maximum is W1 itself: a fail at any look is wrong, and comes no oftener than stated."""
    runs, shift = 40, np.array([1.0, 0.0])

    def verdict(seed):
        random = np.random.default_rng(seed)
        a, b = random.normal(size=(250, 2)), random.normal(size=(250, 2)) + shift
        return decided(a, b, 1.0, confidence=0.8, seed=seed).answer

    assert sum(verdict(seed) is Answer.FAIL for seed in range(runs)) <= 0.2 * runs + 3 * math.sqrt(0.2 * 0.8 * runs)


def test_each_critic_is_judged_on_samples_that_it_has_not_seen():
    """Equal distributions in many dimensions: the critics fit noise, and find nothing in the next batch."""
    random = np.random.default_rng(0)
    result = decided(*random.normal(size=(2, 400, 60)), 0.01)
    assert abs(result.interval.estimate) < 0.2
    assert result.estimate.critic.training_value > 0.5


def test_files_are_read_on_in_random_order_until_they_end():
    """Sorted sets: the first rows say nothing about the whole."""
    random = np.random.default_rng(0)
    a, b = (np.sort(random.normal(size=400))[:, None] for _ in range(2))
    result = decided(a, b + 0.5, 0.55)
    assert result.looks[-1].samples > 380
    assert "has no more samples" in result.verdict.suggestions[0]
    assert abs(result.interval.estimate - 0.5) < 0.2
    assert [look.samples for look in result.looks] == sorted({look.samples for look in result.looks})


def test_tables_are_encoded_together_and_their_units_see_no_judged_row(tmp_path):
    random = np.random.default_rng(0)
    for name, share in (("a", 0.2), ("b", 0.9)):
        rows = "".join(f"{'x' if random.random() < share else 'y'},{random.normal():.6f}\n" for _ in range(600))
        (tmp_path / f"{name}.csv").write_text(f"kind,value\n{rows}")
    result = decided(str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), 0.1, access=Access(scale="std"))
    assert result.answer is Answer.FAIL
    assert result.looks[-1].samples <= 200, "the third of the rows of A that the scale has not seen"


def test_values_of_known_range_need_no_asymptotics():
    random = np.random.default_rng(0)
    a, b = (torch.from_numpy(random.integers(low, low + 60, (3000, 1), dtype=np.uint8)) for low in (0, 190))
    result = decided(a, b, 0.05)
    assert result.answer is Answer.FAIL
    assert not result.interval.asymptotic
    assert decided(a, b, 0.05, ci="welch").interval.asymptotic


def test_networks_are_trained_anew_on_all_that_is_known():
    result = decided(A, B, 0.9, most=140, critic="groupsort-bjorck", settings=SMALL, steps=5)
    assert result.estimate.critic.steps == 5
    assert result.estimate.samples.n_a == result.looks[-2].samples, "the last batch tests the critic"


def test_the_result_is_reported_like_every_gate():
    result = decided(A, B, 0.1)
    document = result.to_dict()
    model("gate").model_validate(document)
    assert [look["samples"] for look in document["looks"]] == [look.samples for look in result.looks]
    assert "| what critics find on later samples (judged) |" in gate_markdown(result)
    assert "after each batch" in str(result)
    assert wdist.gate(A, B, maximum=0.1, critic="mean-difference", until_decided=True).looks == result.looks
    with pytest.raises(UsageError, match="rests on many critics"):
        proof_of_gate(result)


@pytest.mark.parametrize(
    ("limits", "options", "sentence"),
    [
        ({"max_lower": 1.0}, {}, "give maximum alone"),
        ({"maximum": 1.0, "on": "samples"}, {}, 'not on="samples"'),
        ({"maximum": 1.0}, {"folds": 3}, "without folds"),
        ({"maximum": 1.0}, {"budget": "1m"}, "max_seconds limits the time"),
    ],
)
def test_what_makes_no_difference_is_refused(limits, options, sentence):
    with pytest.raises(UsageError, match=sentence):
        run_until_decided(A, B, EstimateOptions.validated(**options), GateLimits(**{"on": "detected", **limits}), UntilDecided())


def test_ctrl_c_keeps_what_is_known_by_then(monkeypatch):
    train = sequential.run_estimate

    def pressed_in(batch):
        batches = iter(range(1, 10))

        def trained(*sides, **facts):
            if next(batches) == batch:
                raise KeyboardInterrupt
            return train(*sides, **facts)

        return trained

    monkeypatch.setattr(sequential, "run_estimate", pressed_in(3))
    result = decided(A, B, 1.0)
    assert len(result.looks) == 2
    assert result.estimate.interrupted
    assert result.verdict.suggestions[0] == "The run was interrupted."
    monkeypatch.setattr(sequential, "run_estimate", pressed_in(1))
    with pytest.raises(KeyboardInterrupt):
        decided(A, B, 1.0)


def test_two_equal_sets_and_small_ones_are_refused():
    random = np.random.default_rng(0)
    a = random.normal(size=(200, 2))
    with pytest.raises(UsageError, match="both sides hold the same ones"):
        decided(a, a, 1.0)
    with pytest.raises(UsageError, match="takes at least 40 samples of each side"):
        decided(a, random.normal(size=(30, 2)), 1.0)
    with pytest.raises(UsageError, match="max_samples must be at least 40"):
        UntilDecided(max_samples=30)


def test_batches_are_scaled_once(tmp_path):
    """Lengths by name, which samples without names would not have."""
    for name, seed in (("a", 0), ("b", 1)):
        rows = np.random.default_rng(seed).normal(size=(200, 2)) * [100, 1] + [100 * seed, 0]
        np.savetxt(tmp_path / f"{name}.csv", rows, delimiter=",", header="x,y", comments="")
    result = decided(*(str(tmp_path / f"{name}.csv") for name in "ab"), 0.1, scale={"x": 100.0})
    assert result.answer is Answer.FAIL
    assert 0.5 < result.interval.estimate < 1.5


def test_features_are_judged_and_computed_of_the_samples_that_it_takes():
    seen = []

    def squares(x):
        seen.append(len(x))
        return x.reshape(len(x), -1).square() * 2

    random = np.random.default_rng(0)
    files = random.normal(size=(5000, 2, 2)), random.normal(size=(5000, 4)) + 2
    result = decided(*files, 0.5, features=squares)
    assert result.answer is Answer.FAIL
    assert result.estimate.features.dim == 4
    assert result.looks[-1].samples == 40
    assert sum(seen) < 1000, "of the 10,000 samples, few were needed"
    drawn = decided(A, B, 0.5, features=squares)
    assert drawn.answer is Answer.FAIL
    assert drawn.to_dict()["features"]["spec"] == result.estimate.features.spec
