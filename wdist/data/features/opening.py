"""Opens feature spaces: the user's function (``module:function``, ``file.py:function``, a callable) or a torchvision network.

Images for ``resnet18?weights=FILE&layer=avgpool`` are converted to the input of networks trained on ImageNet: three channels (grey
ones are repeated), values in [0, 1], the size in ``size=``, and normalisation by ImageNet's mean and standard deviation.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wdist.data.access import Access
from wdist.data.features.cache import FeatureCache
from wdist.data.features.space import Ends, Features, FeatureSpace, FunctionSpace, digest_of_file
from wdist.data.sources.address import Address, expanded, literal, near_miss, parse_address, suggestion
from wdist.data.sources.images import ImageFormat
from wdist.data.sources.network_file import fill, imported, load_weights
from wdist.data.sources.source import SourceInfo, shape_text
from wdist.data.sources.torchvision_dataset import import_torchvision
from wdist.errors import SourceError, TrustRequired, UsageError, first_line
from wdist.files import FileVersion

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_OWN_OPTIONS = ("weights", "layer", "size", "normalise")
_OVERSHOOT = 0.1
"""Images in [0, 1] may leave that interval by this much, as interpolated and generated ones do."""


def open_features(features: Any, access: Access = Access(), device: torch.device | str = "cpu") -> FeatureSpace | None:
    """Opens the feature space of both sides; an open space or None is returned as it is. TrustRequired if opening runs code."""
    if features is None and access.feature_cache is not None:
        raise UsageError("--feature-cache has no effect without --features; name a network with --features, or leave it out")
    if features is None or isinstance(features, FeatureSpace):
        return features
    space = _opened(features, access, device)
    if access.feature_cache is not None:
        if not isinstance(space, BackboneSpace):
            raise UsageError(
                f"--feature-cache works for torchvision networks only, because {space.name} may depend on more than its file; "
                f"leave it out"
            )
        space.cache = FeatureCache(expanded(str(access.feature_cache)))
    return space


def _opened(features: Any, access: Access, device: torch.device | str) -> FeatureSpace:
    device = torch.device(device)
    if not isinstance(features, str):
        if not callable(features) or isinstance(features, type):
            kind = type(features).__name__
            raise SourceError(
                f"features must be a function of a batch of samples, or its name, not of type {kind}; pass a function"
            )
        name = getattr(features, "__qualname__", type(features).__name__)
        return FunctionSpace(features, name=f"<{name.strip('<>')}>", device=device)
    if not features.strip():
        raise SourceError("--features names nothing; write module:function, or resnet18?weights=FILE&layer=avgpool")
    # The name of a network contains no colon; its options follow as in an address.
    if ":" in features.partition("?")[0]:
        if not access.trust:
            raise TrustRequired(f"--features {features} is code that would be imported and run; if you trust it, add --trust")
        found = imported(features, said=f"--features {features}", form="module:function", example="features.py:embed")
        if isinstance(found, type):
            raise SourceError(f"--features {features} is a class; name a function, or an instance of the class")
        return FunctionSpace(found, name=features, device=device)
    address = parse_address(f"torchvision:{features}")
    return open_backbone(replace(address, text=features), access, device)


class BackboneSpace(FeatureSpace):
    """Outputs of one layer of a torchvision network for images; by default the input of its last linear layer."""

    way_out = "add &size=224 if the images are too small for it, or choose another network"

    def __init__(
        self,
        network: nn.Module,
        layer: str | None,
        *,
        size: tuple[int, int] | None,
        normalised: bool,
        facts: Features,
        device: torch.device,
    ) -> None:
        super().__init__(facts, device)
        self._network = network.eval().to(device)
        self._layer, self._takes_input = _layer(network, layer, facts.spec), layer is None
        self._size, self._normalised = size, normalised
        self._shift, self._deviation = (torch.tensor(values, device=device).reshape(3, 1, 1) for values in (_MEAN, _DEVIATION))

    def preparation(self, info: SourceInfo, ends: Ends | None) -> Callable[[Tensor], Tensor]:
        channels = _channel_axis(info, self.name)
        low, high = self._unit(info, ends)

        def prepared(x: Tensor) -> Tensor:
            x = x.unsqueeze(1) if channels is None else x.movedim(channels + 1, 1)
            x = (x if (low, high) == (0.0, 1.0) else (x - low) / (high - low)).expand(-1, 3, -1, -1)
            if self._size is not None and self._size != tuple(x.shape[2:]):
                # Without antialias, shrinking an image would skip pixels.
                x = nn.functional.interpolate(x, self._size, mode="bilinear", antialias=True, align_corners=False)
            return (x - self._shift) / self._deviation if self._normalised else x.contiguous()

        return prepared

    def run(self, x: Tensor) -> Any:
        # torchvision's create_feature_extractor does not look inside torchvision's own blocks (such as those of MobileNet), and
        # confuses layers whose names end in numbers (such as ln_1 and ln_2 of vision transformers).
        found: list[Any] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            found.append(inputs[0] if self._takes_input else output)
            raise _LayerReached

        handle = self._layer.register_forward_hook(keep)
        try:
            self._network(x)
        except _LayerReached:
            return found[0]
        finally:
            handle.remove()
        raise SourceError(f"--features {self.name}: the network does not use this layer in evaluation mode; name another layer=")

    def _unit(self, info: SourceInfo, ends: Ends | None) -> Ends:
        """The interval in the units of the source that is mapped to [0, 1]."""
        if info.bounds is not None:
            return info.bounds
        if ends is not None and ends[0] >= -_OVERSHOOT and ends[1] <= 1 + _OVERSHOOT:
            return (0.0, 1.0)
        seen = "" if ends is None else f", but those of {info.address} range from {ends[0]:g} to {ends[1]:g}"
        raise SourceError(
            f"--features {self.name} takes images with values in [0, 1]{seen}; "
            f"state their range in the address, for example ?stored=-1:1&range=unit"
        )


class _LayerReached(Exception):
    """Ends a forward pass once the layer's output is known."""


def open_backbone(address: Address, access: Access, device: torch.device) -> BackboneSpace:
    """Opens a network of torchvision by name, with weights from a file or from torchvision.

    ``weights=FILE`` is read as data; ``weights=DEFAULT``, or another name that torchvision has for weights of this network, takes
    them from torchvision's folder and downloads them only with ``access.download``. ``layer=`` names a module of the network.
    ``size=224`` or ``size=224x256`` resizes images; by default, they are resized to what torchvision's own weights were trained
    for, and keep their size with weights from a file. ``normalise=none`` leaves values in [0, 1]. Every other option is an argument
    of torchvision's function.
    """
    models = import_torchvision("torchvision.models")
    name = address.location
    if name not in models.list_models():
        near = near_miss(name, models.list_models()) or "write for example resnet18, or module:function for your own features"
        raise SourceError(f"--features {address}: torchvision has no network {name!r}; {near}")
    normalised = address.choice("normalise", ("imagenet", "none"), "imagenet") == "imagenet"
    size = ImageFormat.of(replace(address, options={k: v for k, v in address.options.items() if k == "size"})).size
    arguments = {name: literal(value) for name, value in address.options.items() if name not in _OWN_OPTIONS}
    network = _made(address, arguments, models)
    file, trained_for = _weights_file(address, access, models)
    with FileVersion.of(file.path).reading():
        network, digest = _with_weights(address, network, file, arguments, models), digest_of_file(file.path)
    size = size or trained_for
    layer = address.options.get("layer")
    where = f"layer {layer}" if layer else "the input of the last linear layer"
    resized = f", images resized to {size[0]}x{size[1]}" if size else ""
    facts = Features(
        spec=address.text,
        what=f"{where} of {name} with the weights {file.path.name}{resized}",
        dim=0,
        digest=digest,
    )
    return BackboneSpace(network, layer, size=size, normalised=normalised, facts=facts, device=device)


def _weights_file(address: Address, access: Access, models: Any) -> tuple[Address, tuple[int, int] | None]:
    """The file of weights, downloaded if allowed, and the image size that torchvision's own weights were trained for."""
    wanted = address.options.get("weights")
    if wanted is None:
        raise SourceError(
            f"--features {address} needs weights; add {address.sign}weights=FILE, or weights=DEFAULT for torchvision's own"
        )
    known = models.get_model_weights(address.location).__members__
    if wanted in known:
        weights = known[wanted]
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        if not path.is_file():
            if not access.download:
                raise SourceError(
                    f"--features {address}: torchvision's weights are not on this machine; download them with --download, "
                    f"or give weights=FILE"
                )
            _download(weights.url, path, address)
        size = getattr(weights.transforms(), "crop_size", None)
        return parse_address(path), (int(size[0]), int(size[-1])) if size else None
    file = parse_address(wanted)
    if not file.path.is_file() or file.suffix not in (".pt", ".pth", ".safetensors"):
        own = f", or torchvision's own weights ({', '.join(known)})" if known else ""
        fault = f"{wanted} cannot hold weights" if file.path.is_file() else f"there is no file {wanted}"
        raise SourceError(f"--features {address}: {fault}; name a .pt or .safetensors file{own}")
    return file, None


def _download(url: str, path: Path, address: Address) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The file's name ends with the first digits of its digest, which are checked.
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:
        raise SourceError(
            f"--features {address}: the download of {url} failed ({first_line(error)}); try again, or give weights=FILE"
        ) from error


def _with_weights(address: Address, network: nn.Module, file: Address, arguments: dict[str, Any], models: Any) -> nn.Module:
    """The network with its weights, rebuilt if they are for another number of classes."""
    weights = load_weights(file)
    last = _last_linear(network)
    if last is not None and f"{last[0]}.weight" in weights and "num_classes" not in arguments:
        classes = len(weights[f"{last[0]}.weight"])
        if classes != last[1].out_features:
            network = _made(address, {**arguments, "num_classes": classes}, models)
    misfit = f"--features {address}: {file} does not fit {address.location}"
    fill(network, weights, misfit, "give weights of this network", assign=True)
    return network.requires_grad_(False).float()


def _made(address: Address, arguments: Mapping[str, Any], models: Any) -> nn.Module:
    """The network with initial weights, which the caller replaces."""
    try:
        try:
            with torch.device("meta"):
                return models.get_model(address.location, weights=None, **arguments)
        except NotImplementedError:  # some networks compute with their initial weights
            return models.get_model(address.location, weights=None, **arguments)
    except TypeError as error:
        known = [*_OWN_OPTIONS, *inspect.signature(models.get_model_builder(address.location)).parameters]
        unknown = next((name for name in arguments if name not in known), None)
        way_out = suggestion(unknown, _OWN_OPTIONS, "its options are") if unknown else "correct them"
        raise SourceError(f"--features {address}: torchvision refuses these options ({first_line(error)}); {way_out}") from error
    except (ValueError, RuntimeError, AssertionError) as error:
        raise SourceError(f"--features {address}: torchvision refuses these options ({first_line(error)}); correct them") from error


def _layer(network: nn.Module, layer: str | None, spec: str) -> nn.Module:
    """The module of a name, by default the last linear layer."""
    modules = dict(network.named_modules())
    last = _last_linear(network)
    children = f"for example one of {', '.join(name for name, _ in network.named_children())}"
    if layer is None and last is None:
        raise SourceError(f"--features {spec}: the network has no linear layer at its end; name a layer, {children}")
    name = layer or (last[0] if last else "")
    if name not in modules:
        raise SourceError(f"--features {spec}: the network has no layer {name!r}; {near_miss(name, modules) or children}")
    return modules[name]


def _last_linear(network: nn.Module) -> tuple[str, nn.Linear] | None:
    linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def _channel_axis(info: SourceInfo, name: str) -> int | None:
    """The axis of one sample that holds its 1 or 3 channels; None for grey images without such an axis."""
    shape = info.event_shape
    if len(shape) == 2:
        return None
    if len(shape) == 3:
        axes = [axis for axis in (0, 2) if shape[axis] in (1, 3)]
        if len(axes) == 1:
            return axes[0]
        alpha = [axis for axis in (0, 2) if shape[axis] in (2, 4)]
        if alpha and not axes:
            raise SourceError(
                f"--features {name} takes images of 1 or 3 channels, but those of {info.address} have {shape[alpha[0]]}; "
                f"add ?mode=RGB, or save them without transparency"
            )
    raise SourceError(
        f"--features {name} takes images, but the samples of {info.address} have the shape {shape_text(shape)}; "
        f"give images of shape (h, w), (channels, h, w) or (h, w, channels)"
    )
