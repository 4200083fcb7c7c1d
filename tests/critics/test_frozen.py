"""The frozen critic: values within their stated rounding of the exact function, the same after saving, and no forgery accepted."""

import json
import math
from dataclasses import replace

import mpmath
import numpy as np
import pytest
import torch
from safetensors.torch import save

from tests.trials import SMALL, digest, read_critic, trial, two_moons, write_critic
from wdist.bounds.certificate import certify
from wdist.critics.frozen import FrozenCritic
from wdist.data.standardisation import Standardisation
from wdist.errors import CertificateError, WdistError
from wdist.ground_metric import METRICS
from wdist.lipschitz.activations import Mirrored
from wdist.lipschitz.cones import Cones
from wdist.lipschitz.convolution import Convolution, Patches, PatchWise
from wdist.lipschitz.frozen_layer import Affine
from wdist.lipschitz.frozen_layers import Envelope, PiecewiseLinear, activated
from wdist.training.catalogue import CATALOGUE

STANDARD = Standardisation(shift=torch.zeros(3, dtype=torch.float64), spread=1.0)


def zeros(*shape):
    return torch.zeros(shape, dtype=torch.float64)


def exact_layer(layer, h):
    """One layer in the precision of the context."""
    kind, _, parameter = layer.kind.partition(":")
    match kind:
        case "affine":
            return [
                mpmath.fdot(map(mpmath.mpf, weights), h) + mpmath.mpf(b)
                for weights, b in zip(layer.weight.tolist(), layer.bias.tolist(), strict=True)
            ]
        case "convolution":
            places = layer.patches.cut(torch.arange(1.0, len(h) + 1)[None]).long().tolist()  # 0 is the border
            rows = [[h[place - 1] if place else mpmath.mpf(0) for place in patch] for patch in places]
            weights = list(zip(layer.weight.tolist(), layer.bias.tolist(), strict=True))
            return [mpmath.fdot(map(mpmath.mpf, w), row) + mpmath.mpf(b) for row in rows for w, b in weights]
        case "patchwise":
            size = len(h) // layer.count
            return [v for k in range(layer.count) for v in exact_layer(layer.layer, h[k * size : (k + 1) * size])]
        case "maximum" | "minimum":
            values = []
            for branch, constant in zip(layer.branches, layer.constants.tolist(), strict=True):
                inner = list(h)
                for each in branch:
                    inner = exact_layer(each, inner)
                values.append(inner[0] + mpmath.mpf(constant))
            return [{"maximum": max, "minimum": min}[kind](values)]
        case "cones":
            cones = zip(layer.centres.tolist(), layer.offsets.tolist(), strict=True)
            return [min(exact_norm(h, tip, parameter) + mpmath.mpf(b) for tip, b in cones)]
        case "elliptic-cones":
            cones = zip(layer.matrices.tolist(), layer.points.tolist(), layer.offsets.tolist(), strict=True)
            mapped = [([mpmath.fdot(row, h) for row in matrix], tip, b) for matrix, tip, b in cones]
            return [min(exact_norm(image, tip, "l2") + mpmath.mpf(b) for image, tip, b in mapped)]
        case "piecewise-linear":
            return [exact_piece(layer.knots.tolist(), layer.slopes.tolist(), h[0])]
        case "householder":
            half = len(h) // 2
            for j, (p, q) in enumerate(layer.normal.tolist()):
                p, q = mpmath.mpf(p), mpmath.mpf(q)
                beyond = 2 * min(p * h[j] + q * h[j + half], 0) / (p * p + q * q)
                h[j], h[j + half] = h[j] - beyond * p, h[j + half] - beyond * q
            return h
        case "group-sort" | "maxout" | "full-sort" | "maxmin":
            k = {"full-sort": len(h), "maxmin": 2}.get(kind) or int(parameter)
            groups = len(h) // k
            for g in range(groups):
                h[g::groups] = sorted(h[g::groups])
            return h[-groups:] if kind == "maxout" else h
        case "leaky-relu":
            return [max(v, 0) + mpmath.mpf(float(parameter)) * min(v, 0) for v in h]
    functions = {
        "relu": lambda v: max(v, mpmath.mpf(0)),
        "abs": abs,
        "tanh": mpmath.tanh,
        "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
        "identity": lambda v: v,
    }
    return [functions[kind](v) for v in h]


def exact_norm(h, tip, name):
    """Distance between two points."""
    differences = [v - mpmath.mpf(w) for v, w in zip(h, tip, strict=True)]
    return mpmath.norm(differences, {"l1": 1, "l2": 2, "linf": mpmath.inf}[name])


def exact_piece(knots, slopes, t):
    """The integral of the slopes from the first knot to t."""
    knots, slopes = ([mpmath.mpf(v) for v in values] for values in (knots, slopes))
    if t <= knots[0]:
        return slopes[0] * (t - knots[0])
    ends = [*knots[1:], mpmath.inf]
    return mpmath.fsum(s * (min(t, end) - k) for k, end, s in zip(knots, ends, slopes[1:], strict=True) if k < t)


def errors_of(found, exact):
    """Distances of potentials from exact values, in 60 digits."""
    with mpmath.workdps(60):
        return [abs(mpmath.mpf(float(value)) - each) for value, each in zip(found.values, exact, strict=True)]


def exact_values(critic, x):
    """The function in 60 digits, written out once more from its description."""
    with mpmath.workdps(60):
        spread = mpmath.mpf(critic.standardisation.spread)
        found = []
        for row in x.tolist():
            h = [(mpmath.mpf(v) - mpmath.mpf(s)) / spread for v, s in zip(row, critic.standardisation.shift.tolist(), strict=True)]
            for layer in critic.layers:
                h = exact_layer(layer, h)
            found.append(h[0] * spread * mpmath.mpf(critic.lipschitz))
        return found


DATA = {
    "normal": (1.0, 0.0),
    "offset 1e8": (1.0, 1e8),
    "tiny": (1e-30, 0.0),
    "huge": (1e30, 0.0),
    "subnormal": (1e-315, 0.0),
    "shifted tiny": (1e-12, 1.0),
}


ACTIVATIONS = ["leaky-relu:0.1", "tanh", "sigmoid", "identity", "maxmin", "maxout:4"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_values_are_within_the_stated_rounding_whatever_the_activation(activation):
    a, b = two_moons(60, 60, 3)
    frozen = trial(a, b, settings=replace(SMALL, activation=activation), steps=8).frozen
    found = frozen.evaluate(torch.from_numpy(a[:8] * 30))
    exact = exact_values(frozen, torch.from_numpy(a[:8] * 30))
    assert max(errors_of(found, exact)) <= found.rounding <= 1e-9


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", CATALOGUE)
def test_values_are_within_the_stated_rounding_of_the_exact_function(name, data):
    scale, offset = DATA[data]
    a, b = (side * scale + offset for side in two_moons(60, 60, 3))
    frozen = trial(a, b, name=name, steps=8).frozen
    x = torch.from_numpy(a[:5])
    found = frozen.evaluate(x)
    assert max(errors_of(found, exact_values(frozen, x))) <= found.rounding
    # Stated too large, it would eat the bound; subnormal numbers have few digits.
    assert found.rounding <= 1e-11 * scale or data == "subnormal"


def test_rounding_covers_points_far_outside_and_points_at_the_shift(generator):
    frozen = trial(*two_moons(60, 60, 3), steps=8).frozen
    for x in (
        torch.full((1, 3), 1e200, dtype=torch.float64),
        frozen.standardisation.shift.unsqueeze(0),
        frozen.standardisation.shift.unsqueeze(0) + 1e-300,
    ):
        found = frozen.evaluate(x)
        with mpmath.workdps(400):
            assert (
                not np.isfinite(found.rounding)
                or abs(mpmath.mpf(float(found.values[0])) - exact_values(frozen, x)[0]) <= found.rounding
            )


def scaling(factor, bias=0.0):
    """x -> factor x + bias of one number."""
    return Affine(weight=torch.tensor([[factor]], dtype=torch.float64), bias=torch.tensor([bias], dtype=torch.float64))


SMALLEST = 2.0**-1022
VANISHING = {
    "products of weights": [scaling(1e-200), scaling(1e-200), scaling(1e200), scaling(1e200)],
    "a product that rounds down": [scaling(1e-162), scaling(1.9e-162), scaling(1e300), scaling(1e24)],
    "the smallest weight": [scaling(SMALLEST), scaling(1e-10), scaling(1e300), scaling(1e17)],
    "the smallest slope": [
        PiecewiseLinear(knots=torch.zeros(1), slopes=torch.tensor([SMALLEST, SMALLEST], dtype=torch.float64)),
        scaling(1e-15),
        scaling(1e300),
        scaling(1e23),
    ],
    "a leaky activation": [scaling(SMALLEST), activated("leaky-relu:0.001"), scaling(1e300), scaling(1e11)],
    "a mirror": [
        Affine(weight=torch.tensor([[SMALLEST], [-SMALLEST]], dtype=torch.float64), bias=zeros(2)),
        Mirrored(normal=torch.tensor([[0.6, 0.7]], dtype=torch.float64)),
        Affine(weight=torch.tensor([[1e300, -1e300]], dtype=torch.float64), bias=zeros(1)),
        scaling(1e7),
    ],
    "cones": [scaling(1e-170), Cones(centres=zeros(1, 1), offsets=zeros(1)), scaling(1e170)],
    "patches": [scaling(1e-200), PatchWise(count=1, layer=scaling(1e-200)), scaling(1e200), scaling(1e200)],
    "a convolution": [
        scaling(1e-200),
        Convolution(patches=Patches.parse("1x1x1:chw:1x1:1x1:0x0"), weight=torch.full((1, 1), 1e-200), bias=zeros(1)),
        scaling(1e200),
        scaling(1e200),
    ],
}


@pytest.mark.parametrize("chain", VANISHING)
@pytest.mark.parametrize("nested", [False, True], ids=["alone", "in an envelope"])
def test_what_underflows_is_counted_before_another_layer_multiplies_it(chain, nested):
    layers = VANISHING[chain]
    if nested:
        layers = [Envelope(how="maximum", branches=[layers, [scaling(1e-3)]], constants=torch.tensor([0.0, 0.5]))]
    critic = FrozenCritic(layers, replace(STANDARD, shift=zeros(1)))
    x = torch.tensor([[0.3], [-1.7], [1e-3], [900.0]], dtype=torch.float64)
    found = critic.evaluate(x)
    exact = exact_values(critic, x)
    assert max(errors_of(found, exact)) <= found.rounding
    with mpmath.workdps(60):
        slope = abs(exact[3] - exact[0]) / (900 - mpmath.mpf(0.3))
        for metric in METRICS.values():
            assert slope <= certify(critic, metric).lipschitz_bound


def test_what_overflows_proves_nothing():
    layers = [scaling(1e200), scaling(1e200), scaling(0.0, 1.0)]
    assert FrozenCritic(layers, replace(STANDARD, shift=zeros(1))).evaluate(torch.ones(1, 1)).rounding == math.inf
    wide = FrozenCritic([scaling(1e10)], Standardisation(shift=zeros(1), spread=1e300))
    assert wide.evaluate(torch.full((1, 1), 1e305, dtype=torch.float64)).rounding == math.inf
    far = Cones(centres=torch.tensor([[1.3e154, 0.0, 0.0]], dtype=torch.float64), offsets=zeros(1))
    assert FrozenCritic([far], STANDARD).evaluate(-far.centres).rounding == math.inf


def test_potentials_are_the_values_in_the_units_of_the_data():
    a, b = two_moons(60, 60, 3)
    frozen = trial(a, b).frozen
    x = torch.from_numpy(a)
    assert frozen.potentials(x).dtype == torch.float64
    assert torch.equal(frozen.potentials(x), torch.from_numpy(frozen.evaluate(x).values))
    assert frozen.potentials(x).shape == (60,)
    assert frozen.potentials(x[:1]).shape == (1,)
    assert torch.equal(frozen.potentials(x.float()), frozen.potentials(x.float().double())), "float32 is taken as exact"
    assert (frozen.dim, frozen.parameters) == (3, 3 * 16 + 16 + 16 * 16 + 16 + 16 + 1)


@pytest.mark.parametrize("name", CATALOGUE)
def test_saving_and_loading_keeps_every_bit(name, tmp_path):
    a, b = two_moons(60, 60, 3)
    frozen = trial(a, b, name=name).frozen
    path = tmp_path / "critic.safetensors"
    write_critic(path, frozen)
    loaded = read_critic(path)
    assert digest(loaded) == digest(frozen)
    for key, tensor in frozen.tensors().items():
        assert torch.equal(loaded.tensors()[key], tensor)
    assert certify(loaded) == certify(frozen)
    for x in (a, b, a[:1]):
        found, expected = (critic.evaluate(torch.from_numpy(x)) for critic in (loaded, frozen))
        assert np.array_equal(found.values, expected.values)
        assert found.rounding == expected.rounding


def misaligned(tensor):
    """The same numbers 8 bytes behind the start of a buffer, as in a file."""
    buffer = torch.empty(tensor.numel() + 8, dtype=torch.float64)
    start = next(i for i in range(1, 9) if buffer[i:].data_ptr() % 64 == 8)
    return buffer[start : start + tensor.numel()].view(tensor.shape).copy_(tensor)


def sliced(tensor):
    """The same numbers as every other one of a larger tensor."""
    larger = torch.full((*tensor.shape[:-1], 2 * tensor.shape[-1]), float("nan"), dtype=torch.float64)
    larger[..., ::2] = tensor
    return larger[..., ::2]


LAYOUTS = {
    "transposed": lambda tensor: tensor.mT.contiguous().mT if tensor.ndim == 2 else tensor,
    "misaligned": misaligned,
    "sliced": sliced,
    "another stride between rows": lambda tensor: tensor.as_strided(tensor.shape, (1, 1)) if tensor.shape == (1, 21) else tensor,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_values_depend_on_the_numbers_and_not_on_their_layout(layout, generator):
    """To the last bit: sizes at which a matrix product sums in another order where it finds its operands laid out otherwise."""
    sizes = [(37, 29), (37,), (21, 37), (21,), (1, 21), (1,), (29,), (50, 29)]
    *numbers, shift, x = [torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]

    def critic(change):
        affine = [Affine(weight=change(numbers[i]), bias=change(numbers[i + 1])) for i in (0, 2, 4)]
        layers = [affine[0], activated("abs"), affine[1], activated("relu"), affine[2]]
        return FrozenCritic(layers, Standardisation(shift=change(shift), spread=1.7))

    plain, other = critic(lambda tensor: tensor), critic(LAYOUTS[layout])
    assert torch.equal(other.potentials(x), plain.potentials(x))
    assert torch.equal(plain.potentials(LAYOUTS[layout](x)), plain.potentials(x))
    assert certify(other) == certify(plain)
    assert digest(other) == digest(plain)


def test_a_frozen_critic_outlives_changes_of_what_it_was_made_from():
    weight, bias, shift = torch.ones(1, 3, dtype=torch.float64), zeros(1), zeros(3)
    frozen = FrozenCritic([Affine(weight=weight, bias=bias)], Standardisation(shift=shift, spread=1.0))
    before = digest(frozen)
    for tensor in (weight, bias, shift):
        tensor += 1
    assert digest(frozen) == before


def test_a_loaded_critic_outlives_its_file(tmp_path):
    path = tmp_path / "critic.safetensors"
    critic = load(tmp_path, *small())
    before = digest(critic)
    with path.open("r+b") as file:
        file.seek(-8, 2)
        file.write(b"\xff" * 8)
    assert digest(critic) == before


def small(**changes):
    """A critic that is one: 3 -> 4 -> 1."""
    tensors = {
        "shift": torch.zeros(3, dtype=torch.float64),
        "layers.0.weight": torch.eye(4, 3, dtype=torch.float64),
        "layers.0.bias": torch.zeros(4, dtype=torch.float64),
        "layers.2.weight": torch.ones(1, 4, dtype=torch.float64) / 2,
        "layers.2.bias": torch.zeros(1, dtype=torch.float64),
    }
    description = {"layers": ["affine", "group-sort:2", "affine"], "spread": 1.0, "lipschitz": 1.0}
    for key, value in changes.items():
        if key in description:
            description[key] = value
        else:
            tensors[key.replace("_", ".")] = value
    return tensors, description


def load(tmp_path, tensors, description):
    path = tmp_path / "critic.safetensors"
    path.write_bytes(save(tensors, metadata={"critic": json.dumps(description)}))
    return read_critic(path)


def test_a_hand_made_critic_is_read(tmp_path):
    critic = load(tmp_path, *small())
    assert critic.potentials(torch.tensor([[3.0, -1.0, 2.0]])).tolist() == [2.0]
    assert certify(critic).lipschitz_bound == pytest.approx(1, rel=1e-12)


FORGERIES = {
    "a bias for each row": {"layers_0_bias": zeros(50, 4)},
    "a bias for each row, last": {"layers_2_bias": zeros(50, 1)},
    "a bias that is spread over all units": {"layers_0_bias": zeros(1)},
    "a shift for each row": {"shift": zeros(3, 3)},
    "a shift that is spread over all coordinates": {"shift": zeros(1)},
    "shapes that do not follow": {"layers_2_weight": zeros(1, 5)},
    "two outputs": {"layers_2_weight": zeros(2, 4), "layers_2_bias": zeros(2)},
    "a weight with three axes": {"layers_0_weight": zeros(1, 4, 3)},
    "no spread": {"spread": 0.0},
    "a negative spread": {"spread": -1.0},
    "spread nan": {"spread": float("nan")},
    "no constant": {"lipschitz": 0.0},
    "a negative constant": {"lipschitz": -1.0},
    "an infinite constant": {"lipschitz": float("inf")},
    "an unknown activation": {"layers": ["affine", "softplus", "affine"]},
    "groups that do not divide": {"layers": ["affine", "group-sort:3", "affine"]},
    "a weight that is not finite": {"layers_0_weight": torch.full((4, 3), float("nan"), dtype=torch.float64)},
    "a bias that is not finite": {"layers_0_bias": torch.full((4,), float("inf"), dtype=torch.float64)},
    "a subnormal weight": {"layers_0_weight": torch.full((4, 3), 5e-324, dtype=torch.float64)},
    "numbers of another type": {"layers_0_weight": torch.eye(4, 3)},
    "layers nested a thousandfold": {"layers": ["affine", "patchwise:1:" * 1000 + "relu", "affine"]},
    "layers nested nine times": {"layers": ["affine", "patchwise:1:" * 9 + "relu", "affine"]},
    "branches nested a hundredthousandfold": {"layers": ["affine", "maximum:" + "[" * 100_000, "affine"]},
    "an envelope without branches": {"layers": ["maximum:[]"], "layers_0_constants": zeros(0)},
    "a branch without layers": {"layers": ["maximum:[[]]"], "layers_0_constants": zeros(1)},
    "branches that are no lists": {"layers": ["maximum:5"], "layers_0_constants": zeros(1)},
    "no layers": {"layers": []},
    "tensors without numbers": {"layers_0_weight": zeros(0, 3), "layers_0_bias": zeros(0)},
    "a huge tensor without numbers": {"layers_0_weight": zeros(0, 2**40)},
    "a huge number of patches": {"layers": ["affine", f"patchwise:{10**30}:relu", "affine"]},
    "a number of patches in ten thousand digits": {"layers": ["affine", f"patchwise:{'9' * 10_000}:relu", "affine"]},
    "huge groups": {"layers": ["affine", f"group-sort:{10**30}", "affine"]},
    "huge patches": {"layers": ["affine", "convolution:999999x999999x999999:chw:999999x999999:1x1:0x0", "affine"]},
    "a constant below all sense": {"lipschitz": 1.5e-323},
    "a constant beyond float64": {"lipschitz": 10**400},
    "a missing layer": {"layers": ["affine", "group-sort:2", "affine", "affine"]},
    "layers that are no list": {"layers": 3},
    "a spread in words": {"spread": "wide"},
}


MIRRORS = {"layers": ["affine", "householder", "affine"]}
FORGERIES |= {
    "mirrors without their normals": MIRRORS,
    "mirrors that are too few": {**MIRRORS, "layers_1_normal": torch.ones(1, 2, dtype=torch.float64)},
    "a mirror without direction": {**MIRRORS, "layers_1_normal": zeros(2, 2)},
    "a mirror that is no number": {**MIRRORS, "layers_1_normal": torch.full((2, 2), float("nan"), dtype=torch.float64)},
    "maxout that leaves too few": {"layers": ["affine", "maxout:2", "affine"]},
    "a share out of range": {"layers": ["affine", "leaky-relu:2", "affine"]},
    "pieces without slopes": {"layers": ["affine", "group-sort:2", "affine", "piecewise-linear"], "layers_3_knots": zeros(1)},
    "knots out of order": {
        "layers": ["affine", "group-sort:2", "affine", "piecewise-linear"],
        "layers_3_knots": torch.tensor([1.0, 0.0], dtype=torch.float64),
        "layers_3_slopes": zeros(3),
    },
    "pieces of many units": {
        "layers": ["affine", "piecewise-linear", "affine"],
        "layers_1_knots": zeros(1),
        "layers_1_slopes": zeros(2),
    },
    "a layer that is no name": {"layers": ["affine", 3, "affine"]},
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_what_is_no_function_of_a_sample_is_refused(forgery, tmp_path):
    """A bias for each row would make the potential depend on a sample's position, and prove what is false."""
    with pytest.raises(ValueError, match=r"\w"):
        load(tmp_path, *small(**FORGERIES[forgery]))


ODD = [None, True, -1, 0, 1e400, 10**400, "", "affine", "patchwise:2:relu", [], [[]], {}, "\ud800", "9" * 5000]
KINDS = ["affine", "relu", "cones:l2", "piecewise-linear", "householder", "maxout:4", "patchwise:2:affine", "minimum:[[]]"]


def mutated(random):
    """A critic file with a few things changed: its description, its numbers or its bytes."""
    tensors, description = small()
    for _ in range(random.integers(1, 4)):
        name = str(random.choice(list(tensors)))
        match random.integers(7):
            case 0:
                description[str(random.choice(list(description)))] = ODD[random.integers(len(ODD))]
            case 1:
                description["layers"] = [str(random.choice(KINDS)) for _ in range(random.integers(5))]
            case 2:
                del tensors[name]
                tensors.setdefault("shift", zeros(3))
            case 3:
                tensors[name] = zeros(*random.integers(0, 5, random.integers(4)).tolist())
            case 4:
                tensors[name] = tensors[name].to([torch.float32, torch.int64, torch.bool, torch.bfloat16][random.integers(4)])
            case 5:
                tensors[name] = tensors[name] + float(random.choice([math.nan, math.inf, 5e-324, 1e308, -1e200]))
            case 6:
                tensors[f"layers.{random.integers(4)}.{random.choice(['centres', 'offsets', 'knots', 'slopes', 'constants'])}"] = (
                    zeros(4)
                )
    whole = bytearray(save(tensors, metadata={"critic": json.dumps(description)}))
    for _ in range(int(random.choice([0, 0, 1, 3]))):
        whole[random.integers(len(whole))] = random.integers(256)
    return bytes(whole)


@pytest.mark.parametrize("seed", range(4))
def test_a_mutated_file_is_refused_in_a_sentence_or_a_critic(seed, tmp_path):
    random = np.random.default_rng(seed)
    outcomes = set()
    for number in range(250):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(mutated(random))
        try:
            critic = read_critic(path)
            found = critic.evaluate(torch.ones(2, critic.dim))
            assert not math.isnan(found.rounding)
            assert certify(critic).lipschitz_bound > 0
            outcomes.add("critic")
        except (ValueError, WdistError) as error:
            outcomes.add("one sentence" if len(str(error).splitlines()) == 1 else str(error))
    assert outcomes == {"critic", "one sentence"}


@pytest.mark.parametrize("activation", ["householder", "full-sort", "maxout:2", "leaky-relu:0.25", "tanh"])
def test_every_kind_of_layer_is_read_again(activation, tmp_path):
    frozen = trial(*two_moons(60, 60, 3), settings=replace(SMALL, activation=activation), steps=3).frozen
    path = tmp_path / "critic.safetensors"
    write_critic(path, frozen)
    assert digest(read_critic(path)) == digest(frozen)


@pytest.mark.parametrize("length", [0, 5, 100, -1])
def test_a_file_cut_short_is_refused(length, tmp_path):
    tensors, description = small()
    path = tmp_path / "critic.safetensors"
    path.write_bytes(save(tensors, metadata={"critic": json.dumps(description)})[:length])
    with pytest.raises(ValueError, match=r"[Hh]eader"):
        read_critic(path)


def test_weights_that_are_not_finite_have_no_certificate():
    with pytest.raises(CertificateError):
        certify(FrozenCritic([scaling(float("nan"))], replace(STANDARD, shift=zeros(1))))


def test_the_digest_covers_all_that_values_depend_on():
    layers = [Affine(weight=torch.ones(1, 3, dtype=torch.float64), bias=zeros(1))]
    reference = FrozenCritic(layers, STANDARD)
    others = [
        FrozenCritic([Affine(weight=layers[0].weight * (1 + 2**-52), bias=zeros(1))], STANDARD),
        FrozenCritic([Affine(weight=layers[0].weight, bias=zeros(1) + 1e-300)], STANDARD),
        FrozenCritic([*layers, activated("relu")], STANDARD),
        FrozenCritic(layers, Standardisation(shift=STANDARD.shift + 1e-300, spread=1.0)),
        FrozenCritic(layers, Standardisation(shift=STANDARD.shift, spread=1 + 2**-52)),
        FrozenCritic(layers, STANDARD, lipschitz=1 + 2**-52),
    ]
    digests = [digest(critic) for critic in (reference, *others)]
    assert len(set(digests)) == len(digests)
    assert digest(FrozenCritic(layers, STANDARD)) == digest(reference)
