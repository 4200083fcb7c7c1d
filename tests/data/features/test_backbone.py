"""Feature spaces by a network of torchvision, with weights made on the spot."""

import shutil

import pytest
import torch

from wdist.data.access import Access
from wdist.data.features.opening import open_features
from wdist.data.sources.opening import open_source
from wdist.data.sources.torchvision_dataset import import_torchvision
from wdist.errors import SourceError

GREY = torch.rand(24, 8, 8, generator=torch.Generator().manual_seed(0))
MEAN, DEVIATION = (torch.tensor(values).reshape(3, 1, 1) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Weights of a network of 4 classes as a checkpoint, and the network itself."""
    made = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    network = import_torchvision("torchvision.models").resnet18(weights=None, num_classes=4)
    torch.save({"model": network.state_dict(), "epoch": 3}, made / "resnet.pt")
    return made


@pytest.fixture(scope="module")
def network(folder):
    """The same network, built by hand."""
    network = import_torchvision("torchvision.models").resnet18(weights=None, num_classes=4)
    network.load_state_dict(torch.load(folder / "resnet.pt", weights_only=True)["model"])
    return network.eval()


@pytest.fixture
def spec(folder, monkeypatch):
    """The value of --features, in the folder of the weights."""
    monkeypatch.chdir(folder)
    return "resnet18?weights=resnet.pt"


@torch.no_grad()
def up_to_pooling(network, images):
    """The input of the last layer of resnet18, by hand."""
    x = network.maxpool(network.relu(network.bn1(network.conv1((images - MEAN) / DEVIATION))))
    x = network.layer4(network.layer3(network.layer2(network.layer1(x))))
    return network.avgpool(x).flatten(1)


@pytest.mark.parametrize("layer", ["", "&layer=avgpool"])
def test_features_are_what_the_layer_gives_for_normalised_images(spec, network, layer):
    """The classes of the file are found out, grey images stand in all three channels."""
    found = open_features(spec + layer).of(open_source(GREY), (0.0, 1.0)).read(slice(0, 24))
    by_hand = up_to_pooling(network, GREY.unsqueeze(1).expand(-1, 3, -1, -1))
    assert found.shape == (24, 512)
    assert torch.allclose(found, by_hand, rtol=1e-3, atol=1e-4)


def test_colours_units_and_size_are_brought_to_what_the_network_was_fed(spec, network):
    """Channels behind pixels, uint8, and another size: still images of three channels in [0, 1]."""
    stored = (torch.rand(20, 6, 6, 3, generator=torch.Generator().manual_seed(1)) * 255).to(torch.uint8)
    found = open_features(f"{spec}&size=12x10").of(open_source(stored)).read(slice(0, 20))
    images = torch.nn.functional.interpolate(stored.permute(0, 3, 1, 2) / 255, (12, 10), mode="bilinear", antialias=True)
    assert torch.allclose(found, up_to_pooling(network, images), rtol=1e-3, atol=1e-4)


def test_an_early_layer_is_flattened_and_values_may_stay_in_the_unit_interval(spec, network):
    found = open_features(f"{spec}&layer=conv1&normalise=none").of(open_source(GREY), (0.0, 1.0)).read(slice(0, 24))
    by_hand = network.conv1(GREY.unsqueeze(1).expand(-1, 3, -1, -1)).flatten(1).detach()
    assert torch.allclose(found, by_hand, rtol=1e-3, atol=1e-5)


@torch.no_grad()
def test_a_layer_inside_a_block_of_torchvision_is_reached(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = import_torchvision("torchvision.models").mobilenet_v2(weights=None, width_mult=0.1).eval()
    torch.save(network.state_dict(), "mobile.pt")
    space = open_features("mobilenet_v2?weights=mobile.pt&width_mult=0.1&layer=features.0.1&normalise=none")
    found = space.of(open_source(GREY), (0.0, 1.0)).read(slice(0, 24))
    first = network.features[0]
    by_hand = first[1](first[0](GREY.unsqueeze(1).expand(-1, 3, -1, -1))).flatten(1)
    assert torch.allclose(found, by_hand, rtol=1e-3, atol=1e-5)


def test_a_network_that_computes_with_its_first_weights_is_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network = import_torchvision("torchvision.models").regnet_y_400mf(weights=None)
    torch.save(network.state_dict(), "regnet.pt")
    assert open_features("regnet_y_400mf?weights=regnet.pt&size=32").of(open_source(GREY), (0.0, 1.0)).info.dim == 440


def test_the_result_names_layer_weights_and_their_digest(spec, folder):
    facts = open_features(f"{spec}&layer=avgpool&size=16").facts
    assert facts.what == "layer avgpool of resnet18 with the weights resnet.pt, images resized to 16x16"
    assert len(facts.digest) == 64


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("resnet18", "needs weights"),
        ("resnet18?weights=missing.pt", "there is no file missing.pt"),
        ("resnet19?weights=resnet.pt", "did you mean 'resnet"),
        ("resnet34?weights=resnet.pt", "does not fit resnet34 .it lacks"),
        ("resnet18?weights=resnet.pt&layer=avgpol", "did you mean 'avgpool'"),
        ("resnet18?weights=resnet.pt&layer=nothing", "for example one of conv1, bn1"),
        ("resnet18?weights=resnet.pt&sise=32", "did you mean 'size'"),
        ("resnet18?weights=resnet.pt&size=big", "size=big is not an image size"),
        ("resnet18?weights=resnet.pt&normalise=yes", "normalise=yes is unknown"),
    ],
)
def test_what_cannot_be_opened_is_refused_in_a_sentence(spec, wanted, sentence):
    with pytest.raises(SourceError, match=sentence) as refused:
        open_features(wanted)
    assert "\n" not in str(refused.value)


def test_nothing_is_fetched_unless_it_is_asked_for(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    fetched = []
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path, **how: fetched.append((url, path, how)))
    with pytest.raises(SourceError, match="download=True"):
        open_features("resnet18?weights=DEFAULT")
    assert fetched == []

    def fetch(url, path, **how):
        fetched.append((url, path, how))
        shutil.copy(folder / "resnet.pt", path)

    monkeypatch.setattr(torch.hub, "download_url_to_file", fetch)
    space = open_features("resnet18?weights=DEFAULT", Access(download=True))
    assert len(fetched) == 1
    assert fetched[0][2]["hash_prefix"]
    assert "resized to 224x224" in space.facts.what  # what these weights were trained for


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        (torch.rand(30, 10), "takes images"),
        (torch.rand(30, 5, 8, 8), "takes images"),
        (torch.rand(30, 4, 8, 8), "mode=RGB"),
        (2 * torch.rand(30, 8, 8) - 1, r"values in \[0, 1\], but those of <tensor> range from -"),
    ],
)
def test_samples_that_are_no_images_in_the_unit_interval_are_refused(spec, samples, sentence):
    with pytest.raises(SourceError, match=sentence):
        open_features(spec).of(open_source(samples), (float(samples.min()), float(samples.max())))


def test_a_network_that_fails_says_what_may_help(folder, monkeypatch):
    monkeypatch.chdir(folder)
    network = import_torchvision("torchvision.models").squeezenet1_1(weights=None)
    torch.save(network.state_dict(), "squeezenet.pt")
    with pytest.raises(SourceError, match="no linear layer at its end; name a layer, for example one of features, classifier"):
        open_features("squeezenet1_1?weights=squeezenet.pt")
    with pytest.raises(SourceError, match=r"fail on samples of shape \(3, 8, 8\).*size=224"):
        open_features("squeezenet1_1?weights=squeezenet.pt&layer=classifier").of(open_source(GREY), (0.0, 1.0))
