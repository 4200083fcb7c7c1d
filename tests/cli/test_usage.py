"""Wrong words on the command line: one sentence with the way out, status 2, before anything slow begins."""

from pathlib import Path

import pytest

WRONG = {
    "unknown command": (["estmate", "a", "b"], "estimate"),
    "unknown option": (["estimate", "a", "b", "--stps", "3"], "did you mean --steps?"),
    "unknown option of other tools": (["estimate", "a", "b", "--max-time", "5"], "did you mean --budget?"),
    "unknown option without a likeness": (["estimate", "a", "b", "--zzz"], "wdist estimate --help"),
    "missing argument": (["estimate", "a"], "missing argument 'B'"),
    "too many arguments": (["estimate", "a", "b", "c"], "wdist estimate --help"),
    "steps that are no number": (["estimate", "a", "b", "--steps", "many"], "should be a valid integer; `wdist estimate --help`"),
    "no steps": (["estimate", "a", "b", "--steps", "0"], "--steps"),
    "negative seed": (["estimate", "a", "b", "--seed", "-1"], "--seed"),
    "seed beyond all generators": (["estimate", "a", "b", "--seed", "99999999999999999999"], "at most"),
    "seed of a suite beyond all generators": (["bench", "gates", "--seed", "99999999999999999999"], "at most"),
    "option without its value": (["estimate", "a", "b", "--budget"], "'--budget' requires an argument; `wdist estimate --help`"),
    "budget in no unit": (["estimate", "a", "b", "--budget", "soon"], "45s, 2m or 1h"),
    "steps and budget": (["estimate", "a", "b", "--budget", "9s", "--steps", "9"], "give one of them"),
    "confidence in per cent": (["estimate", "a", "b", "--confidence", "95"], "written 0.95"),
    "no baseline named": (["estimate", "a", "b", "--baselines", ","], "none, default, all"),
    "no critic named": (["estimate", "a", "b", "--critics", ","], "default, all"),
    "critics and baselines": (["estimate", "a", "b", "--critics", "all", "--baselines", "none"], "give one of them"),
    "no repeat": (["estimate", "a", "b", "--repeats", "0"], "--repeats"),
    "beta beyond 1": (["estimate", "a", "b", "--beta", "1.5"], "at most 1"),
    "no Björck iterations": (["estimate", "a", "b", "--bjorck-iterations", "0"], "at least 1"),
    "known pair in another metric": (["synthetic", "--cones", "3", "--metric", "l1"], "leave --metric out"),
    "unknown optimiser": (["estimate", "a", "b", "--optimizer", "sgd"], "muon, orthogonal-sgd, adam, aggmo"),
    "unknown schedule": (["estimate", "a", "b", "--schedule", "up"], "cosine"),
    "group size that does not divide": (["estimate", "a", "b", "--width", "10", "--group-size", "3"], "choose a divisor"),
    "depth of one": (["estimate", "a", "b", "--depth", "1"], "at least 2"),
    "negative learning rate": (["estimate", "a", "b", "--learning-rate", "-1"], "positive"),
    "no pair": (["synthetic"], "give exactly one of"),
    "two pairs": (["synthetic", "--cones", "3", "--sphere", "8"], "--cones and --sphere name 2 pairs"),
    "dimension of another pair": (["synthetic", "--cones", "3", "--dim", "4"], "leave it out"),
    "shift of another pair": (["synthetic", "--cones", "3", "--shift", "4"], "--shift belongs to --gaussians"),
    "shift and scale": (["synthetic", "--gaussians", "--shift", "1", "--scale", "2"], "either --shift or --scale"),
    "the name of a stream": (["estimate", "a", "b", "-o", "-"], "--json"),
    "critic that is not there": (["verify", "missing.safetensors", "a", "b"], "that --save-proof wrote"),
}


@pytest.mark.parametrize(("words", "way_out"), WRONG.values(), ids=WRONG)
def test_wrong_words_get_one_sentence_and_status_2(wdist, calls, words, way_out):
    answer = wdist(*words)
    assert answer.status == 2
    assert way_out in answer.error
    assert answer.out == ""
    assert len(answer.err.splitlines()) == 1
    assert not calls.asked


def test_options_reach_the_library(wdist, calls):
    answer = wdist(
        *("estimate", "a.h5", "b.h5", "--steps", 7, "--seed", 3, "--device", "cpu"),
        *("--confidence", 0.9, "--ci", "empirical-bernstein", "--baselines", "linear,maxmin-bjorck"),
        *("--width", 16, "--depth", 4, "--group-size", 4, "--batch-size", 32),
        *("--optimizer", "adam", "--learning-rate", 0.5, "--schedule", "step", "--bjorck-order", 2, "--lipschitz", 10),
        *("--drop-nonfinite", "--download", "--trust", "--quiet"),
    )
    assert answer.status == 0
    (asked,) = calls.asked
    assert (asked.a, asked.b) == ("a.h5", "b.h5")
    assert asked.options.budget.steps == 7
    assert (asked.options.seed, asked.options.device, asked.options.confidence, asked.options.ci) == (
        3,
        "cpu",
        0.9,
        "empirical-bernstein",
    )
    assert asked.options.baselines == ("linear", "maxmin-bjorck")
    settings = asked.options.settings
    assert (settings.width, settings.depth, settings.group_size, settings.batch_size) == (16, 4, 4, 32)
    assert (settings.optimizer, settings.learning_rate, settings.schedule) == ("adam", 0.5, "step")
    assert (settings.bjorck_order, settings.lipschitz) == (2, 10)
    access = asked.options.access
    assert (access.trust, access.download, access.drop_nonfinite) == (True, True, True)


def test_options_of_a_comparison_reach_the_library(wdist, calls):
    wdist("estimate", "a.h5", "b.h5", "--critics", "relu-bjorck, mean-difference", "--repeats", 3, "--metric", "linf", "--quiet")
    (asked,) = calls.asked
    assert (asked.options.critics, asked.options.repeats, asked.options.metric) == (("relu-bjorck", "mean-difference"), 3, "linf")


def test_options_that_put_a_critic_together_reach_the_library(wdist, calls):
    words = ("--activation", "leaky-relu:0.1", "--constraint", "bjorck-unrolled", "--bjorck-iterations", 20, "--beta", 0.25)
    wdist("synthetic", "--cones", 2, *words, "--quiet")
    settings = calls.asked[0].options.settings
    assert (settings.activation, settings.constraint) == ("leaky-relu:0.1", "bjorck-unrolled")
    assert (settings.bjorck_iterations, settings.beta) == (20, 0.25)


def test_estimate_and_synthetic_share_every_option_but_those_of_their_sources(wdist, calls):
    wdist("estimate", "a.h5", "b.h5")
    wdist("synthetic", "--cones", 3)
    files, pair = calls.asked
    assert files.options == pair.options
    assert (files.truth, pair.truth) == (None, 1)
    assert (files.command, pair.command) == (None, "synthetic")


def test_a_length_of_time_is_a_budget(wdist, calls):
    wdist("estimate", "a.h5", "b.h5", "--budget", "2m")
    assert calls.asked[0].options.budget.seconds == 120


def test_without_options_the_library_decides(wdist, calls):
    wdist("estimate", "a.h5", "b.h5")
    (asked,) = calls.asked
    assert asked.options.budget is None
    assert (asked.options.critics, asked.options.baselines, asked.options.repeats, asked.options.metric) == (
        None,
        "default",
        1,
        "l2",
    )
    assert not any((asked.options.access.trust, asked.options.access.download, asked.options.access.drop_nonfinite))


@pytest.mark.parametrize(
    ("words", "name", "truth"),
    [
        (["--absolute-value"], "absolute-value", 1),
        (["--cones", "3"], "cones", 1),
        (["--sphere", "16"], "sphere", 1),
        (["--gaussians", "--dim", "10", "--shift", "2.5"], "gaussian", 2.5),
        (["--gaussians", "--dim", "4", "--scale", "3"], "gaussian", None),
        (["--funnels", "4", "--dim", "2"], "funnel", None),
    ],
    ids=str,
)
def test_synthetic_pairs_come_with_their_truth(wdist, calls, words, name, truth):
    answer = wdist("synthetic", *words)
    assert answer.status == 0
    (asked,) = calls.asked
    assert asked.command == "synthetic"
    assert name in asked.a.info.address + asked.b.info.address
    assert asked.truth > 0 if truth is None else asked.truth == pytest.approx(truth)


def test_files_without_a_command_are_told_the_command(wdist, tmp_path):
    (tmp_path / "a.csv").write_text("1\n")
    assert "write wdist estimate A B" in wdist("a.csv", "b.csv").error


@pytest.mark.parametrize("address", ["-scores.npy", "--scores.npy?limit=50", "-scores.h5:/x"])
def test_a_file_that_looks_like_an_option_is_told_its_address(wdist, address):
    for name in ("-scores.npy", "--scores.npy", "-scores.h5"):
        Path(name).touch()
    result = wdist("estimate", address, "b.npy")
    assert result.error == f"{address} looks like an option; to name the file, write ./{address}"
