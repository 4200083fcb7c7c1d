"""Features by a network of torchvision: ``resnet18?weights=FILE&layer=avgpool``.

Images are brought to what networks trained on ImageNet were fed: three channels (grey ones are repeated), values in [0, 1] by the
units of their source, the size that ``size=`` asks for, then shifted and scaled by ImageNet's mean and deviation.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wdist.data.access import Access
from wdist.data.features.space import Ends, Features, FeatureSpace, digest_of_file
from wdist.data.sources.address import Address, parse_address, suggestion
from wdist.data.sources.images import ImageFormat
from wdist.data.sources.network_file import first_line, literal, load_weights
from wdist.data.sources.source import SourceInfo
from wdist.data.sources.stored_array import shape_text
from wdist.data.sources.torchvision_import import import_torchvision
from wdist.errors import SourceError

_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_OWN_OPTIONS = ("weights", "layer", "size", "normalise")
_OVERSHOOT = 0.1
"""By which images in [0, 1] may leave that interval, as interpolated and generated ones do."""


class BackboneSpace(FeatureSpace):
    """What one layer of a network gives for images.

    Arguments:
        network: in evaluation mode.
        layer: whose output is taken; None for what the last linear layer is fed.
        size: height and width that images are brought to; None leaves them.
        normalised: whether values are shifted and scaled as ImageNet's.
        facts: for results.
        device: on which the network runs.
    """

    way_out = "add &size=224 where the images are too small for it, or choose another network"

    def __init__(
        self,
        network: nn.Module,
        *,
        layer: str | None,
        size: tuple[int, int] | None,
        normalised: bool,
        facts: Features,
        device: torch.device,
    ) -> None:
        super().__init__(facts, device)
        self._network = network.eval().to(device)
        self._layer, self._size = _layer(network, layer, facts.spec), size
        self._takes_input = layer is None
        self._shift, self._deviation = (torch.tensor(values, device=device).reshape(3, 1, 1) for values in (_MEAN, _DEVIATION))
        self._normalised = normalised

    def preparation(self, info: SourceInfo, ends: Ends | None) -> Callable[[Tensor], Tensor]:
        channels = _channel_axis(info, self.name)
        low, high = self._unit(info, ends)

        def prepared(x: Tensor) -> Tensor:
            x = x.unsqueeze(1) if channels is None else x.movedim(channels + 1, 1)
            x = (x if (low, high) == (0.0, 1.0) else (x - low) / (high - low)).expand(-1, 3, -1, -1)
            if self._size is not None and self._size != tuple(x.shape[2:]):
                # antialias: without it an image that shrinks loses what lies between the new pixels.
                x = nn.functional.interpolate(x, self._size, mode="bilinear", antialias=True, align_corners=False)
            return (x - self._shift) / self._deviation if self._normalised else x.contiguous()

        return prepared

    def run(self, x: Tensor) -> Any:
        found: list[Any] = []

        def keep(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            found.append(inputs[0] if self._takes_input else output)
            raise _Enough

        handle = self._layer.register_forward_hook(keep)
        try:
            self._network(x)
        except _Enough:
            return found[0]
        finally:
            handle.remove()
        raise SourceError(f"--features {self.name}: that layer takes no part when the network runs; name another layer=")

    def _unit(self, info: SourceInfo, ends: Ends | None) -> Ends:
        """The interval in the units of the source that becomes [0, 1]."""
        if info.bounds is not None:
            return info.bounds
        if ends is not None and ends[0] >= -_OVERSHOOT and ends[1] <= 1 + _OVERSHOOT:
            return (0.0, 1.0)
        seen = "" if ends is None else f", and those of {info.address} reach from {ends[0]:g} to {ends[1]:g}"
        raise SourceError(
            f"--features {self.name} takes images with values in [0, 1]{seen}; "
            f"say in the address where they lie, for example ?stored=-1:1&range=unit"
        )


class _Enough(Exception):
    """Ends a pass through a network: the layer has spoken, and what follows need not be computed."""


def open_backbone(address: Address, access: Access, device: torch.device) -> BackboneSpace:
    """A network of torchvision by its name there, with weights of a file or of torchvision's own.

    ``weights=FILE`` is read as data; ``weights=DEFAULT``, or the name of other weights that torchvision has for this network, takes
    them from torchvision's folder, and only ``access.download`` lets torchvision fetch them there. ``layer=`` names a module of the
    network, by default what its last linear layer is fed. ``size=224`` or ``size=224x256`` resizes images; left out, they take the
    size that torchvision's own weights were trained for, and keep theirs with weights of a file. ``normalise=none`` leaves values
    in [0, 1]. Every other option is an argument of torchvision's function.

    Raises:
        SourceError: there is no such network, file, or layer, or weights and network do not fit each other.
    """
    models = import_torchvision("torchvision.models")
    name = address.location
    if name not in models.list_models():
        near = _near(name, models.list_models(), "resnet18 is one, and module:function names features of your own")
        raise SourceError(f"--features {address}: torchvision has no network {name!r}; {near}")
    normalised = address.choice("normalise", ("imagenet", "none"), "imagenet") == "imagenet"
    size = ImageFormat.of(_only(address, "size")).size
    arguments = {name: literal(value) for name, value in address.options.items() if name not in _OWN_OPTIONS}
    with torch.device("meta"):  # weights that are replaced at once need not be drawn
        network = _made(address, arguments, models)
    file, trained_for = _weights_file(address, access, models)
    network = _with_weights(address, network, file, arguments, models)
    size = size or trained_for
    layer = address.options.get("layer")
    where = f"layer {layer}" if layer else "what the last linear layer is fed"
    resized = f", images resized to {size[0]}x{size[1]}" if size else ""
    facts = Features(
        spec=address.text,
        what=f"{where} of {name} with the weights {file.path.name}{resized}",
        dim=0,
        digest=digest_of_file(file.path),
    )
    return BackboneSpace(network, layer=layer, size=size, normalised=normalised, facts=facts, device=device)


def _only(address: Address, option: str) -> Address:
    return replace(address, options={name: value for name, value in address.options.items() if name == option})


def _weights_file(address: Address, access: Access, models: Any) -> tuple[Address, tuple[int, int] | None]:
    """The file of weights, fetched if that is allowed, and the size of images that torchvision's own were trained for."""
    wanted = address.options.get("weights")
    sign = "&" if address.options else "?"
    if wanted is None:
        raise SourceError(
            f"--features {address} needs weights; add {sign}weights=FILE, or {sign}weights=DEFAULT for torchvision's own"
        )
    known = models.get_model_weights(address.location).__members__
    if wanted in known:
        weights = known[wanted]
        path = Path(torch.hub.get_dir()) / "checkpoints" / Path(weights.url).name
        if not path.is_file():
            if not access.download:
                raise SourceError(
                    f"--features {address}: torchvision's weights are not on this machine; let it fetch them with --download, "
                    f"or give weights=FILE"
                )
            _fetched(weights.url, path, address)
        size = getattr(weights.transforms(), "crop_size", None)
        return parse_address(path), (int(size[0]), int(size[-1])) if size else None
    file = parse_address(wanted)
    if not file.path.is_file() or file.suffix not in (".pt", ".pth", ".safetensors"):
        words = f"a name of torchvision's own weights ({', '.join(known)})" if known else "nothing else"
        fault = f"{wanted} cannot hold weights" if file.path.is_file() else f"there is no file {wanted}"
        raise SourceError(f"--features {address}: {fault}; name a .pt or .safetensors file, or {words}")
    return file, None


def _fetched(url: str, path: Path, address: Address) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        # The file's name ends in the beginning of its digest, which is checked.
        torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.rpartition("-")[2], progress=False)
    except (OSError, RuntimeError) as error:
        raise SourceError(
            f"--features {address}: fetching {url} failed ({first_line(error)}); try again, or give weights=FILE"
        ) from error


def _with_weights(address: Address, network: nn.Module, file: Address, arguments: dict[str, Any], models: Any) -> nn.Module:
    """The network with its weights, built anew where they are for another number of classes."""
    weights = load_weights(file)
    last = _last_linear(network)
    if last is not None and f"{last[0]}.weight" in weights and "num_classes" not in arguments:
        classes = len(weights[f"{last[0]}.weight"])
        if classes != last[1].out_features:
            with torch.device("meta"):
                network = _made(address, {**arguments, "num_classes": classes}, models)
    _fill(network, weights, address, file)
    return network


def _made(address: Address, arguments: Mapping[str, Any], models: Any) -> nn.Module:
    try:
        return models.get_model(address.location, weights=None, **arguments)
    except TypeError as error:
        known = [*_OWN_OPTIONS, *inspect.signature(models.get_model_builder(address.location)).parameters]
        unknown = next((name for name in arguments if name not in known), None)
        way_out = suggestion(unknown, _OWN_OPTIONS, "its options are") if unknown else "correct them"
        raise SourceError(f"--features {address}: torchvision refuses these options ({first_line(error)}); {way_out}") from error
    except (ValueError, RuntimeError, AssertionError) as error:
        raise SourceError(f"--features {address}: torchvision refuses these options ({first_line(error)}); correct them") from error


def _fill(network: nn.Module, weights: dict[str, Tensor], address: Address, file: Address) -> None:
    there = network.state_dict()
    wrong = [name for name, value in weights.items() if name in there and there[name].shape != value.shape]
    missing, more = ([name for name in one if name not in other] for one, other in ((there, weights), (weights, there)))
    # Files of older versions of torch do not count batches.
    missing = [name for name in missing if not name.endswith("num_batches_tracked")]
    faults = (
        [f"{wrong[0]} has the shape {shape_text(tuple(weights[wrong[0]].shape))}, not {shape_text(tuple(there[wrong[0]].shape))}"]
        if wrong
        else []
    )
    faults += [f"{missing[0]} is missing"] if missing else []
    faults += [f"{more[0]} belongs to another network"] if more and not missing else []
    if faults:
        raise SourceError(
            f"--features {address}: {file} does not hold weights of {address.location} ({faults[0]}); give those that belong to it"
        )
    network.load_state_dict(weights, strict=False, assign=True)
    for name, buffer in list(network.named_buffers()):
        if buffer.is_meta:
            owner, _, leaf = name.rpartition(".")
            network.get_submodule(owner).register_buffer(leaf, torch.zeros(buffer.shape, dtype=buffer.dtype))
    network.requires_grad_(False).float()


def _layer(network: nn.Module, layer: str | None, spec: str) -> nn.Module:
    """The module of a name.

    Raises:
        SourceError: there is none; suggests one that is near.
    """
    modules = dict(network.named_modules())
    if layer is None:
        last = _last_linear(network)
        if last is None:
            raise SourceError(f"--features {spec}: the network has no linear layer at its end; name a layer, {_children(network)}")
        return last[1]
    if layer not in modules or not layer:
        raise SourceError(f"--features {spec}: the network has no layer {layer!r}; {_near(layer, modules, _children(network))}")
    return modules[layer]


def _last_linear(network: nn.Module) -> tuple[str, nn.Linear] | None:
    linear = [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Linear)]
    return linear[-1] if linear else None


def _children(network: nn.Module) -> str:
    return f"for example one of {', '.join(name for name, _ in network.named_children())}"


def _near(word: str, known: Any, otherwise: str) -> str:
    near = suggestion(word, known, "")
    return near if near.startswith("did") else otherwise


def _channel_axis(info: SourceInfo, name: str) -> int | None:
    """Which axis of one sample holds its channels, 1 or 3 of them; None for grey images without such an axis."""
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
                f"--features {name} takes images of 1 or 3 channels, and those of {info.address} have {shape[alpha[0]]}; "
                f"add ?mode=RGB, or save them without transparency"
            )
    raise SourceError(
        f"--features {name} takes images, and the samples of {info.address} have the shape {shape_text(shape)}; "
        f"give images of shape (h, w), (channels, h, w) or (h, w, channels)"
    )
