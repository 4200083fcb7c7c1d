"""Reading modules: every operation that is accepted has bounds above what is seen, every other one is refused by name."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from tests.bounds.lipschitz.networks import largest_jacobian
from wdist.bounds.lipschitz.graph_reading import UnknownOperator
from wdist.bounds.lipschitz.local import NoEnclosure, local_upper
from wdist.bounds.lipschitz.reading import read_network
from wdist.bounds.lipschitz.search import network_slope, slopes_in_balls
from wdist.bounds.lipschitz.upper import PRODUCT, lipschitz_upper
from wdist.errors import SourceError
from wdist.ground_metric import L2, LINF
from wdist.lipschitz.activations import activation


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 6), nn.ELU(), nn.Linear(6, 6))

    def forward(self, x):
        return x + self.inner(x)


class Branches(nn.Module):
    def forward(self, x):
        a, b = x.chunk(2, 1)
        return torch.cat([2 * a - 0.5 * b, torch.maximum(a, b) / 3, (a - 1).mean(1, keepdim=True)], 1)


class InPlace(nn.Module):
    def forward(self, x):
        y = 2 * x
        y[:, :4].mul_(3)
        return y.add_(1).relu_()


class Function(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def chain(*layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(*layers)


KNOWN = {
    "celu": (chain(nn.Linear(3, 5), nn.CELU(0.3), nn.Linear(5, 5), nn.CELU()), (3,)),
    "copies": (
        chain(
            *(
                nn.ReflectionPad2d(2),
                nn.Conv2d(2, 3, 3),
                nn.ReLU(),
                nn.ReplicationPad2d((0, 1, 2, 0)),
                nn.Upsample(scale_factor=1.5),
            ),
            *(Function(lambda x: x[:, [2, 0, 0]].repeat(1, 2, 1, 1)), nn.Conv2d(6, 1, 2)),
        ),
        (2, 4, 4),
    ),
    "hard sigmoid": (chain(nn.Linear(3, 1), nn.Hardsigmoid(), nn.Linear(1, 1), nn.Hardsigmoid()), (3,)),
    "residual": (chain(nn.Linear(4, 6), Residual(), nn.SELU(), Residual()), (4,)),
    "branches": (chain(nn.Linear(4, 6), Branches()), (4,)),
    "in place": (chain(nn.Linear(4, 4), InPlace()), (4,)),
    "activations": (chain(nn.Linear(3, 5), nn.GELU(), nn.SiLU(), nn.Linear(5, 5), nn.Mish(), nn.Hardtanh(), nn.PReLU(5)), (3,)),
    "smooth": (chain(nn.Linear(3, 5), nn.Softplus(), nn.Linear(5, 5), nn.Sigmoid(), nn.LogSigmoid(), nn.GELU("tanh")), (3,)),
    "softmax": (chain(nn.Linear(3, 5), nn.Softmax(1), nn.Linear(5, 5), nn.LogSoftmax(1)), (3,)),
    "weight norm": (chain(parametrizations.weight_norm(nn.Linear(4, 8)), nn.ReLU6(), nn.Linear(8, 2)), (4,)),
    "group sort": (chain(nn.Linear(4, 8), activation("group-sort:4").module(8), nn.Linear(8, 2)), (4,)),
    "float16": (chain(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2)).half(), (4,)),
    "convolutions": (
        chain(
            *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()),
            *(nn.MaxPool2d(3, 2), nn.Conv2d(4, 4, 3, groups=2, dilation=2)),
        ),
        (2, 13, 13),
    ),
    "pools": (
        chain(nn.AvgPool2d(3, 2, padding=1), nn.Conv2d(2, 2, 2, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        (2, 9, 9),
    ),
    "generator": (
        chain(
            *(nn.Linear(3, 8), nn.ReLU(), nn.Unflatten(1, (2, 2, 2))),
            *(nn.ConvTranspose2d(2, 2, 4, 2, 1), nn.Upsample(scale_factor=2), nn.Tanh()),
        ),
        (3,),
    ),
    "one dimension": (chain(nn.Conv1d(2, 3, 3, stride=2), nn.LeakyReLU(0.2), nn.MaxPool1d(2), nn.ZeroPad1d(1)), (2, 12)),
    "dilated generator": (nn.ConvTranspose2d(2, 3, 3, stride=2, dilation=2), (2, 4, 4)),
    "one size for both axes": (chain(nn.MaxPool2d([3], [1]), nn.AvgPool2d([2], [1])), (1, 6, 6)),
    "windows that overlap": (nn.MaxPool2d(3, 1), (1, 6, 6)),
    "images without channels": (nn.AdaptiveMaxPool2d((3, 2)), (6, 6)),
    "one number": (chain(nn.Linear(4, 6), nn.Softplus(3.0), nn.Linear(6, 1), nn.Flatten(0)), (4,)),
    "views of moved entries": (
        chain(Function(lambda x: x.view(-1, 2, 2).transpose(1, 2).reshape(-1, 4)), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)),
        (4,),
    ),
    "not contiguous": (chain(nn.Linear(6, 4)), (6,)),
}


@pytest.mark.parametrize("metric", [L2, LINF], ids=str)
@pytest.mark.parametrize("name", KNOWN)
def test_no_slope_exceeds_the_bounds(name, metric):
    """Neither everywhere nor within balls, whatever the search finds."""
    module, shape = KNOWN[name]
    for each in module.modules():
        if isinstance(each, nn.BatchNorm2d):
            torch.manual_seed(1)
            each.running_var.uniform_(0.1, 3)
    if name == "not contiguous":
        module[0].weight = nn.Parameter(torch.randn(6, 4).T)
    network = read_network(module, shape)
    upper = lipschitz_upper(network, metric)
    assert network_slope(network.module, shape, metric) <= upper.bound
    torch.manual_seed(0)
    x = torch.randn(3, *shape)
    assert largest_jacobian(network.module, x, metric) <= upper.bounds[PRODUCT] * (1 + 1e-9)
    try:
        bounds = [local_upper(network, each, 0.05, metric) for each in x]
    except NoEnclosure:
        assert name in ("branches", "group sort", "softmax", "convolutions", "one dimension", *POOLED)
        return
    found = slopes_in_balls(network.module, x, metric, radius=0.05)
    assert all(found <= torch.tensor(bounds, dtype=torch.float64))


POOLED = ("one size for both axes", "windows that overlap", "images without channels")

REFUSED = {
    "native_layer_norm": nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8)),
    "mul of two values": Function(lambda x: x * x),
    "which draws random numbers": Function(lambda x: nn.functional.dropout(x, 0.5, training=True)),
    "which draws": Function(lambda x: x + torch.randn(4)),
    "round": Function(torch.round),
    "with a jump": nn.Threshold(0.5, 0.0),
    "softplus with a jump": nn.Softplus(3.0, threshold=2.0),
    "softplus with a constant": nn.Softplus(-2.0),
    "sum of whole numbers": Function(lambda x: x.sum(-1, dtype=torch.int64)),
    "view.dtype": Function(lambda x: x.view(torch.float32)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_operators_without_a_bound_are_refused_by_name(name):
    with pytest.raises(UnknownOperator, match=name):
        read_network(REFUSED[name], (4,))


def test_networks_that_look_at_their_input_are_refused():
    with pytest.raises(UnknownOperator, match=r"looks at the values of its input"):
        read_network(Function(lambda x: x if x.sum() > 0 else -x), (4,))


@pytest.mark.parametrize(
    "module", [nn.ReflectionPad1d(3), nn.ReplicationPad1d(2), Function(lambda x: x[:, :, [0, 3, 3, 3]])], ids=str
)
def test_copied_entries_have_exact_norms(module):
    """The root of the largest number of copies of an input."""
    network = read_network(module, (2, 5))
    J = torch.autograd.functional.jacobian(lambda x: module(x).flatten(), torch.zeros(1, 2, 5).double()).flatten(1)
    assert lipschitz_upper(network, L2).bound == pytest.approx(float(torch.linalg.matrix_norm(J, 2)))
    assert lipschitz_upper(network, LINF).bound == pytest.approx(1)


def test_samples_of_a_batch_are_not_copied():
    with pytest.raises(UnknownOperator, match="on the samples of a batch"):
        read_network(Function(lambda x: x.repeat(2, 1)), (4,))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value):
    module = nn.Sequential(nn.Linear(2, 2))
    with torch.no_grad():
        module[0].weight[0, 0] = value
    with pytest.raises(SourceError, match=r"holds NaN or infinity in 0\.weight"):
        read_network(module)


def test_the_shape_of_a_convolution_has_to_be_given():
    with pytest.raises(SourceError, match='shape="3x32x32"'):
        read_network(nn.Sequential(nn.Conv2d(1, 1, 3)))


def test_reading_leaves_the_module_as_it_is():
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout()).train()
    read_network(module)
    assert module.training
    assert module[0].weight.dtype == torch.float32


def test_torchlip_layers_have_the_bound_that_they_promise():
    torchlip = pytest.importorskip("deel.torchlip")
    torch.manual_seed(0)
    module = nn.Sequential(torchlip.SpectralLinear(6, 8), torchlip.GroupSort2(), torchlip.FrobeniusLinear(8, 1))
    assert lipschitz_upper(read_network(module)).bound == pytest.approx(1, abs=1e-3)


def test_orthogonium_layers_have_the_bound_that_they_promise():
    layers = pytest.importorskip("orthogonium.layers")
    torch.manual_seed(0)
    module = nn.Sequential(layers.OrthoLinear(8, 8), layers.MaxMin(), layers.OrthoLinear(8, 8))
    assert lipschitz_upper(read_network(module)).bound == pytest.approx(1, abs=1e-3)


def test_windows_that_do_not_divide_images_without_channels_are_refused():
    with pytest.raises(UnknownOperator, match="windows of several sizes"):
        read_network(nn.AdaptiveMaxPool2d((3, 1)), (7, 6))
