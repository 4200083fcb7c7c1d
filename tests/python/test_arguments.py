"""Wrong arguments get one sentence that names them and says what to give, whatever function they are given to."""

import datetime

import numpy as np
import pandas as pd
import pytest
import torch

import wdist

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = X + 1
NAN = float("nan")
FAST = {"steps": 1, "critic": "mean-difference", "progress": False}

WRONG_OPTIONS = {
    "budget": [0, -1, NAN, float("inf"), True, [2], "soon", "", datetime.timedelta(0), object()],
    "steps": [0, -3, 1.5, "9", True],
    "seed": [-1, 10**20, 1.5, "0", None, True],
    "confidence": [0, 1, 95, NAN, "0.95", None, 10**400],
    "tolerance": [0, 1, -1, NAN, "small"],
    "metric": ["l3", 2, None, ["l2"]],
    "device": ["tpu", 0, None, "cuda:99"],
    "ci": ["student", 3, None],
    "critic": ["groupsort", 3, None, ""],
    "critics": ["groupsort", 3, [], [3], ""],
    "baselines": ["groupsort", 3, None, [None]],
    "draws": [10, 0, 1.5, "many", 500, 10**9],
    "repeats": [0, 1.5, "3", None],
    "folds": [0, 99, 2.5, "5", 40],
    "couplings": ["no", 1, None],
    "access": [True, "trust", {}],
    "trust": [1, "yes", None],
    "download": [1, "yes", None],
    "drop_nonfinite": [1, "yes", None],
    "settings": [{}, 3, "wide"],
    "width": [0, 1.5, "8"],
    "depth": [1, 2.5],
    "group_size": [0, "2"],
    "batch_size": [0, "all"],
    "optimizer": ["sgd", 3],
    "learning_rate": [0, NAN, "fast"],
    "schedule": ["up", 3],
    "activation": [3, "swish-9"],
    "constraint": [3, "loose"],
    "bjorck_order": [0, 5, 1.5],
    "bjorck_iterations": [0, "15"],
    "beta": [0, 1.5, "half"],
    "centres": [0, 2.5],
    "lipschitz": [0, 1e9, NAN, "1"],
    "features": [3, "", int, "no_such_network", "nowhere:embed"],
    "observer": [3, "print", []],
    "progress": [1, "no"],
}
UNDERLYING = {"activation": "activation|critic", "constraint": "constraint|critic", "couplings": "couplings|tolerance"}
"""Other words that name the argument."""


def call(function, *arguments, **options):
    """Calls a public function with arguments that are right but for some."""
    if "steps" not in options and "budget" not in options and function in (wdist.estimate, wdist.compare, wdist.gate):
        options = {"steps": 1, **options}
    return function(*arguments, **{"progress": False, **options})


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG_OPTIONS.items() for value in values])
def test_wrong_options_of_estimate_are_named(name, value):
    with pytest.raises(wdist.WdistError) as raised:
        call(wdist.estimate, X, Y, **{name: value})
    sentence = str(raised.value)
    assert any(word in sentence for word in UNDERLYING.get(name, name).split("|")), sentence
    assert "--" not in sentence
    assert "\n" not in sentence


OTHER_CALLS = {
    "a missing side": (wdist.estimate, (X, None), {}, "B is None"),
    "a number": (wdist.estimate, (3.0, X), {}, "<array A>"),
    "text that is no file": (wdist.estimate, ("no.h5", X), {}, "no.h5 does not exist"),
    "an object": (wdist.estimate, (X, object()), {}, "<array B>"),
    "another dimension": (wdist.estimate, (X, Y[:, :2]), {}, "<tensor A> .* <tensor B>"),
    "images of another shape": (wdist.estimate, (torch.rand(20, 3, 8, 8), torch.rand(20, 3, 8, 9)), {}, "<tensor A> .*3, 8, 9"),
    "a set without samples": (wdist.estimate, (X, Y[:0]), {}, "<tensor B> holds no values"),
    "words": (wdist.estimate, (np.array(["a", "b"]), X), {}, "<array A> holds strings"),
    "numbers as objects": (wdist.estimate, (X.numpy().astype(object), X), {}, r"convert it, for example with x.astype\(float\)"),
    "a frame without rows": (
        wdist.estimate,
        (pd.DataFrame({"a": [], "b": []}).astype({"b": str}), X),
        {},
        "<frame A> holds no rows",
    ),
    "complex numbers": (wdist.estimate, (X.numpy(), Y.numpy() * 1j), {}, "<array B> holds complex"),
    "nan": (wdist.estimate, (X, torch.full((40, 3), NAN)), {}, "<tensor B>"),
    "constant samples": (wdist.estimate, (X, torch.ones(40, 3)), {}, "<tensor B> are equal"),
    "a truth that is none": (wdist.estimate, (X, Y), {"truth": "one"}, "truth must be"),
    "an unknown option": (wdist.estimate, (X, Y), {"confidense": 0.9}, "did you mean confidence"),
    "an option of the command line": (wdist.gate, (X, Y), {"max": 1}, "did you mean maximum"),
    "an option like no other": (wdist.estimate, (X, Y), {"zzz": 1}, "no option zzz"),
    "steps and a budget": (wdist.estimate, (X, Y), {"steps": 3, "budget": 3}, "steps and budget"),
    "nothing to compare": (wdist.compare, (X, []), {}, "at least one source"),
    "sources that are no list": (wdist.compare, (X, Y), {}, "sources must be a list"),
    "sources that are none": (wdist.compare, (X, None), {}, "sources must be a list"),
    "sources by name": (wdist.compare, (X, {"y": Y}), {}, r"names=list\(sources\)"),
    "sources that come one by one": (wdist.compare, (X, iter([Y])), {}, "sources must be a list"),
    "a source that is none": (wdist.compare, (X, [Y, None]), {}, "2 is None"),
    "too few names": (wdist.compare, (X, [Y, Y]), {"names": ["a"]}, "1 names for 2 sources"),
    "one text as names": (wdist.compare, (X, [Y]), {"names": "a"}, "names must be a list"),
    "names that are no text": (wdist.compare, (X, [Y]), {"names": [3]}, "names must be a list"),
    "names that cannot be listed": (wdist.compare, (X, [Y]), {"names": 3}, "names must be a list"),
    "positions of columns": (wdist.dependence, (X,), {"columns": 0}, "^columns must be a list"),
    "other positions of columns": (wdist.dependence, (X,), {"columns": "column 1", "with_": [1]}, "^with_ must be a list"),
    "witnesses in words": (wdist.compare, (X, [Y]), {"witnesses": "many"}, "witnesses must be a whole number"),
    "negative witnesses": (wdist.compare, (X, [Y]), {"witnesses": -1}, "witnesses must not be negative"),
    "witnesses of no images": (wdist.compare, (X, [Y]), {"witnesses": 4}, "witnesses shows images"),
    "critics of a comparison": (wdist.compare, (X, [Y]), {"critics": "all"}, "takes no critics"),
    "a gate without limits": (wdist.gate, (X, Y), {}, "maximum"),
    "a limit in words": (wdist.gate, (X, Y), {"maximum": "1.5"}, "maximum must be a number"),
    "a limit that is nan": (wdist.gate, (X, Y), {"maximum": NAN}, "maximum"),
    "a negative limit": (wdist.gate, (X, Y), {"max_lower": -1}, "max_lower"),
    "an unknown estimand": (wdist.gate, (X, Y), {"maximum": 1, "on": "both"}, "on .*both.* is unknown"),
    "a baseline that is not there": (wdist.gate, (X, Y), {"baseline": "no.json"}, "no.json"),
    "a baseline of another type": (wdist.gate, (X, Y), {"baseline": 3}, "baseline must be"),
    "a tolerance without a baseline": (wdist.gate, (X, Y), {"maximum": 1, "tolerance": 0.1}, "tolerance"),
    "batches until something": (wdist.gate, (X, Y), {"maximum": 1, "until_decided": 3}, "until_decided must be True or False or"),
    "batches and a proof": (wdist.gate, (X, Y), {"maximum": 1, "until_decided": True, "proof": "no.safetensors"}, "give only one"),
    "a proof of another type": (wdist.gate, (X, Y), {"maximum": 1, "proof": 3}, "proof must be"),
    "a proof that is not there": (wdist.verify, ("no.safetensors",), {}, "no.safetensors"),
    "a proof that is no path": (wdist.verify, (3,), {}, "path must be"),
    "a device that is none": (wdist.verify, ("no.safetensors",), {"device": "tpu"}, "."),
    "trust in words": (wdist.verify, ("no.safetensors",), {"trust": "yes"}, "trust must be"),
    "a tolerance in per cent": (wdist.transport, (X, Y), {"tol": 2}, "tol must be at least 0"),
    "a tolerance in words": (wdist.transport, (X, Y), {"tol": "small"}, "tol must be a number"),
    "a negative seed": (wdist.transport, (X, Y), {"seed": -1}, "seed must be at least 0"),
    "one weight": (wdist.transport, (X, Y), {"weights": 1.0}, "weights must be a pair"),
    "weights of other samples": (wdist.transport, (X, Y), {"weights": (np.ones(3), None)}, "40 samples and weights"),
    "weights in words": (wdist.transport, (X, Y), {"weights": (["a"] * 40, None)}, "weights of x"),
    "a metric that is none": (wdist.transport, (X, Y), {"metric": "l7"}, "metric 'l7' is unknown"),
    "a listener that is none": (wdist.transport, (X, Y), {"bounded": 3}, "bounded must be a function"),
    "sides of two dimensions": (wdist.transport, (X, Y[:, :2]), {}, "the same shape"),
    "nan in transport": (wdist.transport, (X * NAN, Y), {}, "x holds nan"),
}


@pytest.mark.parametrize(("function", "arguments", "options", "sentence"), OTHER_CALLS.values(), ids=OTHER_CALLS)
def test_wrong_arguments_are_sentences(function, arguments, options, sentence):
    with pytest.raises(wdist.WdistError, match=sentence) as raised:
        call(function, *arguments, **options)
    assert "--" not in str(raised.value)


@pytest.mark.parametrize(
    ("function", "arguments", "sentence"),
    [
        (wdist.open_source, (None,), "address is None"),
        (wdist.open_source, ("no.npy",), "no.npy does not exist"),
        (wdist.open_source, ("model.pt2?factory=a:b",), "model.pt2"),
        (wdist.save_proof, ("result", "proof.safetensors"), "estimate must be wdist.Estimate"),
        (wdist.Budget, (), "."),
    ],
)
def test_the_other_names_of_the_package_explain_themselves_too(function, arguments, sentence):
    with pytest.raises(wdist.WdistError, match=sentence):
        function(*arguments)


@pytest.mark.parametrize(
    ("settings", "wrong", "sentence"),
    [
        (wdist.Budget, {"seconds": -1.0}, "^budget "),
        (wdist.CriticSettings, {"batch_size": 0}, "^batch_size must be at least"),
        (wdist.CriticSettings, {"width": 10, "group_size": 4}, "group_size=4 does not divide width=10"),
        (wdist.UntilDecided, {"max_samples": 5}, "^max_samples must be at least"),
        (wdist.UntilDecided, {"max_seconds": -1.0}, "^max_seconds "),
        (wdist.Access, {"missing": "later"}, "^missing "),
    ],
)
def test_settings_made_in_python_name_their_own_arguments(settings, wrong, sentence):
    with pytest.raises(wdist.WdistError, match=sentence) as raised:
        settings(**wrong)
    assert "--" not in str(raised.value)


@pytest.mark.parametrize("budget", [1, 1.5, np.float32(2), "2s", "0.05m", datetime.timedelta(seconds=2), wdist.Budget(seconds=2)])
def test_a_budget_is_seconds_text_or_a_length_of_time(budget):
    assert 1 <= wdist.Budget.of(budget).seconds <= 3


def test_numbers_of_numpy_are_numbers():
    found = wdist.estimate(X, Y, **FAST | {"steps": np.int64(2)}, seed=np.int32(3), confidence=np.float32(0.9))
    assert found.seed == 3
    assert json_round_trip(found)["population"]["confidence"] == pytest.approx(0.9)


def json_round_trip(result):
    import json

    return json.loads(result.to_json())


def test_permissions_and_settings_are_plain_keywords():
    holed = X.clone()
    holed[0, 0] = NAN
    with pytest.raises(wdist.WdistError, match="drop_nonfinite=True"):
        wdist.estimate(holed, Y, **FAST)
    flat = wdist.estimate(holed, Y, drop_nonfinite=True, critic="groupsort-bjorck", width=8, depth=2, steps=2, baselines="none")
    grouped = wdist.estimate(
        holed, Y, access=wdist.Access(drop_nonfinite=True), settings=wdist.CriticSettings(width=8, depth=2),
        critic="groupsort-bjorck", steps=2, baselines="none",
    )  # fmt: skip
    assert flat.a.dropped == 1
    assert flat.critic.settings["width"] == 8
    assert flat.samples == grouped.samples
