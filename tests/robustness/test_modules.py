"""Any torch module as a classifier: certified by the bound of its graph, and never refuted within it."""

import pytest
import torch
from torch import nn

import wdist
from wdist.errors import SourceError
from wdist.ground_metric import L2, LINF
from wdist.robustness.attacks import Ball, projected_gradient, refuted
from wdist.robustness.certification import certify_classifier, margin_constants
from wdist.robustness.modules import ModuleClassifier, module_classifier

NETWORKS = {
    "dense": lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)),
    "convolutional": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 3)
    ),
}


@pytest.fixture(params=NETWORKS)
def network(request):
    torch.manual_seed(0)
    return NETWORKS[request.param]()


@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
def test_no_attack_succeeds_within_a_certified_radius(network, metric, generator):
    classifier = module_classifier(network, (4, 4) if isinstance(network[0], nn.Flatten) else (1, 4, 4))
    x = torch.rand(60, 16, generator=generator, dtype=torch.float64)
    labels = classifier.evaluate(x).logits.argmax(1)
    radii = certify_classifier(classifier, x, labels, margin_constants(classifier, metric)).radii
    assert float(radii.min()) >= 0
    radius = float(radii.median())
    chosen = radii > radius
    ball, function = Ball(eps=radius, metric=metric), classifier.function(torch.device("cpu"), torch.float64)
    for eps, some in ((radius, False), (50 * radius, True)):
        ball = Ball(eps=eps, metric=metric)
        moved = projected_gradient(function, x[chosen], labels[chosen], ball, generator=generator, iterations=40, restarts=2)
        assert bool(refuted(classifier, x[chosen], labels[chosen], moved, ball).any()) is some


def test_constants_of_a_linear_module_are_those_of_its_rows(generator):
    network = nn.Linear(5, 4)
    pairs = margin_constants(ModuleClassifier(network, (5,)), L2).pairs
    W = network.weight.detach().double()
    assert float(pairs[0, 3]) == pytest.approx(float((W[0] - W[3]).norm()))


def test_images_are_given_to_a_module_in_the_shape_that_it_takes(network, generator):
    x = torch.rand(8, 4, 4, generator=generator)
    found = wdist.robust(network, x, torch.zeros(8), eps=0.01, iterations=2, restarts=1)
    expected = float((network(x[:, None]).argmax(1) != 0).double().mean())
    assert found.clean_error == expected


class OfOneSample(nn.Module):
    """As programs of ``torch.export`` are; it casts its input, too."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 3)

    def forward(self, x):
        assert len(x) == 1, "a program for a batch of one sample"
        return self.layer(x.float() / 2)


def test_a_module_that_takes_one_sample_at_a_time_is_a_classifier(generator):
    x, labels = torch.rand(9, 6, generator=generator), torch.arange(9) % 3
    module = OfOneSample()
    plain = nn.Sequential(nn.Linear(6, 3))
    plain.load_state_dict({"0.weight": module.layer.weight / 2, "0.bias": module.layer.bias})
    found, expected = (wdist.robust(each, x, labels, eps=0.05) for each in (module, plain))
    assert (found.misled, found.uncertified) == (expected.misled, expected.uncertified)
    assert found.lipschitz_bound == pytest.approx(expected.lipschitz_bound)


def test_what_has_no_bound_or_one_output_is_refused(generator):
    x, labels = torch.rand(4, 6, generator=generator), torch.zeros(4)
    with pytest.raises(SourceError, match="one output"):
        wdist.robust(nn.Linear(6, 1), x, labels, eps=0.1)
    attention = nn.Sequential(nn.Unflatten(1, (2, 3)), nn.TransformerEncoderLayer(3, 1, 4, batch_first=True), nn.Flatten())
    with pytest.raises(SourceError, match="a classifier without it can be certified"):
        wdist.robust(attention, x, labels, eps=0.1)
