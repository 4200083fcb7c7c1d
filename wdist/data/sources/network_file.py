"""Networks in files: weights with a factory that builds their network, TorchScript, ``torch.export``, ONNX.

Every format except plain weights contains code, and a factory is code: nothing here runs without ``--trust``.
"""

import contextlib
import functools
import importlib
import importlib.util
import inspect
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from wdist.data.access import Access
from wdist.data.sources.address import Address, expanded, literal, suggestion
from wdist.data.sources.array_files import damaged_safetensors, is_torchscript, load_data
from wdist.errors import SourceError, TrustRequired, explained_as, first_line
from wdist.files import FileVersion

# Factories of this package are installed code, so they need no ``--trust``. Only these exact names qualify, because
# ``wdist.some.module:anything`` could reach whatever that module imports. They cannot be shadowed: the package is already imported,
# and its modules are found in its own folder.
OWN_FACTORIES = frozenset({"wdist.gan.generators:image_generator"})

_SIZE_NAMES = ("latent_dim", "latent_size", "latent_dims", "z_dim", "dim_z", "zdim", "z_size", "nz", "noise_dim", "noise_size")
_SHAPE_NAMES = ("latent_shape", "z_shape", "noise_shape")
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True, kw_only=True)
class GeneratorNetwork:
    """A function from latents to samples, independent of how it was stored."""

    what: str
    """The kind of network in words, for example ``TorchScript``."""
    latent_shapes: tuple[tuple[int, ...], ...]
    """Possible shapes of one latent, the most likely first; empty if the file does not tell."""
    run: Callable[[Tensor], Any]
    """Maps latents of shape (n, \\*latent shape) to the output, on their device."""
    batch: int | None = None
    """The only batch size that the network accepts; None if it accepts any."""


@dataclass(frozen=True, kw_only=True)
class NetworkModule:
    """A network from a file as a torch module."""

    what: str
    """The kind of network in words, for example ``TorchScript``."""
    module: nn.Module
    """The network on the CPU, in evaluation mode if it has modes."""
    shape: tuple[int, ...] | None = None
    """Shape of one input, without the batch axis; None if the file does not say."""


def open_network(address: Address, access: Access, arguments: Mapping[str, str]) -> GeneratorNetwork:
    """Opens a program, or a file of weights with ``factory=``, which is called with ``arguments``; both need ``access.trust``."""
    if _is_onnx(address, access, arguments):
        return _of_onnx(address)
    loaded = _loaded(address, access, arguments)
    if isinstance(loaded, torch.export.ExportedProgram):
        with _reading(address, "torch.export file"):
            return _of_export(loaded, address.location)
    return _of_module(loaded.module, loaded.what)


def open_module(address: Address, access: Access) -> NetworkModule:
    """Opens a network's file as a torch module that can be traced; a factory is called with all other options of the address."""
    arguments = {name: value for name, value in address.options.items() if name != "factory"}
    if _is_onnx(address, access, arguments):
        return _onnx_module(address)
    loaded = _loaded(address, access, arguments)
    if isinstance(loaded, NetworkModule):
        return replace(loaded, module=loaded.module.eval())
    with _reading(address, "torch.export file"):
        shapes = _export_shapes(loaded)
        _check_one_input(shapes, address.location)
        return NetworkModule(what="torch.export", module=loaded.module(), shape=tuple(int(n) for n in shapes[0][1:]))


def _is_onnx(address: Address, access: Access, arguments: Mapping[str, str]) -> bool:
    """True for an ONNX file that may be opened."""
    if "factory" in address.options or address.suffix != ".onnx":
        return False
    _no_arguments(address, arguments)
    _need_trust(address, access, "an ONNX file can contain custom operators")
    return True


def _loaded(address: Address, access: Access, arguments: Mapping[str, str]) -> NetworkModule | torch.export.ExportedProgram:
    """The network in a file of any format except ONNX."""
    if "factory" in address.options:
        factory = address.options["factory"]
        if factory not in OWN_FACTORIES:
            _need_trust(address, access, f"the factory {factory} is code that would be imported and run")
        with FileVersion.of(address.path, address.location).reading():
            weights = load_weights(address)
        module = _built(address, arguments)
        fill(module, weights, f"{address.bare} does not fit {factory}", "correct the factory or its options")
        return NetworkModule(what=f"weights of {factory}", module=module)
    _no_arguments(address, arguments)
    if address.suffix == ".pt2":
        _need_trust(address, access, "a torch.export file holds a program")
        with _reading(address, "torch.export file"):
            return torch.export.load(address.path)
    if not is_torchscript(address.path):
        raise SourceError(f"{address.location} is not a TorchScript archive; save the network again with torch.jit.save")
    _need_trust(address, access, "a TorchScript file holds a program")
    with _reading(address, "TorchScript archive"), warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return NetworkModule(what="TorchScript", module=torch.jit.load(address.path, map_location="cpu"))


def _no_arguments(address: Address, arguments: Mapping[str, str]) -> None:
    if arguments:
        option = next(iter(arguments))
        raise SourceError(f"{address}: {address.bare} has no option {option!r}; arguments need a factory=package.module:Class")


def _of_module(module: nn.Module, what: str) -> GeneratorNetwork:
    needed = _required_inputs(module)
    if len(needed) > 1:
        inputs = f"{len(needed)} inputs ({', '.join(needed)}), not one batch of latents"
        raise SourceError(f"{what}: the network takes {inputs}; give one that sets or draws the others itself")
    module.eval()
    return GeneratorNetwork(what=what, latent_shapes=_latent_shapes(module), run=lambda z: module.to(z.device)(z))


def _required_inputs(module: nn.Module) -> list[str]:
    """Names of the inputs without a default value."""
    if isinstance(module, torch.jit.ScriptModule):
        method: Any = module.forward
        return [each.name for each in method.schema.arguments[1:] if not each.has_default_value()]
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(module.forward).parameters.values()
    return [each.name for each in parameters if each.default is inspect.Parameter.empty and each.kind not in variadic]


def _of_export(program: torch.export.ExportedProgram, name: str) -> GeneratorNetwork:
    """Wraps a program of ``torch.export``, which fixes the mode, the device and perhaps the batch size."""
    from torch.export.passes import move_to_device_pass

    shapes = _export_shapes(program)
    _check_one_input(shapes, name)
    batch, *shape = shapes[0]
    on_device = functools.cache(lambda device: move_to_device_pass(program, device).module())
    return GeneratorNetwork(
        what="torch.export",
        latent_shapes=(tuple(int(n) for n in shape),),
        run=lambda z: on_device(z.device)(z),
        batch=batch if isinstance(batch, int) else None,
    )


def _export_shapes(program: torch.export.ExportedProgram) -> list[tuple[Any, ...]]:
    inputs = set(program.graph_signature.user_inputs)
    return [tuple(node.meta["val"].shape) for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]


def _of_onnx(address: Address) -> GeneratorNetwork:
    """Opens an ONNX graph to be run by onnxruntime on the CPU."""
    try:
        import onnxruntime
    except ImportError as error:
        raise SourceError(f'{address.location} needs onnxruntime; install it: pip install "wdist[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    with _reading(address, "ONNX file"):
        session = onnxruntime.InferenceSession(str(address.path), options, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    _check_one_input([tuple(each.shape) for each in inputs], address.location)
    batch, *shape = inputs[0].shape
    dtype = {"tensor(double)": np.float64, "tensor(float16)": np.float16}.get(inputs[0].type, np.float32)

    def run(z: Tensor) -> Tensor:
        output = session.run(None, {inputs[0].name: z.cpu().numpy().astype(dtype)})[0]
        return torch.from_numpy(np.array(output)).to(z.device)

    return GeneratorNetwork(
        what="ONNX",
        latent_shapes=(tuple(shape),) if all(isinstance(n, int) and n > 0 for n in shape) else (),
        run=run,
        batch=batch if isinstance(batch, int) and batch > 0 else None,
    )


def _onnx_module(address: Address) -> NetworkModule:
    try:
        from wdist.data.sources.onnx_module import load_onnx

        with _reading(address, "ONNX file"):
            module, shape = load_onnx(address.path, address.location)
    except ImportError as error:
        raise SourceError(f'{address.location} needs onnx; install it: pip install "wdist[onnx]"') from error
    return NetworkModule(what="ONNX", module=module.eval(), shape=shape)


def _check_one_input(shapes: list[tuple[Any, ...]], name: str) -> None:
    if len(shapes) != 1 or len(shapes[0]) < 2:
        raise SourceError(f"{name} takes {len(shapes)} inputs, not one batch of latents; export a network of one input (n, size)")


def _reading(address: Address, kind: str) -> contextlib.AbstractContextManager[None]:
    return explained_as(f"{address.location} is not a readable {kind}", "export it again")


def load_weights(address: Address) -> dict[str, Tensor]:
    """Loads the tensors of a ``.safetensors`` or ``.pt`` file by name; nothing is executed.

    A checkpoint may hold the weights beside other entries (optimiser, epoch): its only state dict is used, or the one named by the
    key of the address. The prefix ``module.`` of data-parallel training is removed.
    """
    if address.suffix == ".safetensors":
        try:
            weights = {name: value.clone() for name, value in load_file(address.path).items()}  # they are mapped
        except (SafetensorError, OSError) as error:
            raise damaged_safetensors(address, error) from error
        prefix = "" if address.key is None else f"{address.key.rstrip('.')}."
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if not weights:
            raise SourceError(f"{address.location} holds no tensors under {address.key!r}; list its content with wdist inspect")
    elif address.suffix in (".pt", ".pth"):
        if is_torchscript(address.path):
            raise SourceError(f"{address.location} is a TorchScript archive, which contains its program; leave out factory=")
        weights = _state_dict(load_data(address.path, address.location, mapped=False), address)
    else:
        raise SourceError(f"{address.location} cannot hold weights for a factory; give a .safetensors or .pt file")
    parallel = all(name.startswith("module.") for name in weights)
    return {name.removeprefix("module.") if parallel else name: value for name, value in weights.items()}


def is_state_dict(value: Any) -> bool:
    """True for a non-empty mapping from names to tensors."""
    return (
        isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) and isinstance(k, str) for k, v in value.items())
    )


def fill(module: nn.Module, weights: dict[str, Tensor], misfit: str, way_out: str, *, assign: bool = False) -> None:
    """Loads weights into a module (``assign`` if it is on the meta device), or raises an error ``misfit (reason); way_out``."""
    try:
        keys = module.load_state_dict(weights, strict=False, assign=assign)
    except RuntimeError as error:
        there = {name: value.shape for name, value in module.state_dict().items()}
        wrong = next((name for name, value in weights.items() if name in there and there[name] != value.shape), None)
        sizes = f"{wrong} is {_by(weights[wrong].shape)} in the file but {_by(there[wrong])} in the network" if wrong else None
        raise SourceError(f"{misfit} ({sizes or first_line(error)}); {way_out}") from error
    faults = [f"lacks {_some(keys.missing_keys)}"] if keys.missing_keys else []
    faults += [f"has the unexpected {_some(keys.unexpected_keys)}"] if keys.unexpected_keys else []
    if faults:
        raise SourceError(f"{misfit} (it {' and '.join(faults)}); {way_out}")


def imported(text: str, *, said: str, form: str, example: str) -> Any:
    """Imports the class or function in ``module:name`` or ``file.py:name``, also from the current folder; this runs its code.

    Errors begin with ``said`` and quote ``form`` and ``example``.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise SourceError(f"{said} is not {form}; write for example {example}")
    try:
        with _importable(Path.cwd()):
            module = _module_of_file(expanded(place)) if place.endswith(".py") else importlib.import_module(place)
    except SourceError:
        raise
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{said}: {place} cannot be imported ({error}); run wdist in the folder that holds it, or install the package"
        ) from error
    except Exception as error:  # the user's code
        raise SourceError(
            f"{said}: importing {place} failed ({type(error).__name__}: {first_line(error)}); fix the module"
        ) from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [attribute for attribute in vars(module) if not attribute.startswith("_")]
            raise SourceError(f"{said}: {place} has no {name!r}; {suggestion(name, public, 'it has')}")
        found = getattr(found, part)
    if not callable(found):
        raise SourceError(f"{said}: {text} is not a class or function; name one that can be called")
    return found


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    before = list(sys.path)
    sys.path.insert(0, str(folder))
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path[:] = before


def _module_of_file(path: Path) -> Any:
    specification = importlib.util.spec_from_file_location(f"wdist_factory_{path.stem}", path)
    if specification is None or specification.loader is None or not path.is_file():
        raise ModuleNotFoundError(f"there is no file {path}")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _state_dict(content: Any, address: Address) -> dict[str, Tensor]:
    if address.key is None and is_state_dict(content):
        return dict(content)
    inside = {str(key): value for key, value in content.items() if is_state_dict(value)} if isinstance(content, Mapping) else {}
    if address.key in inside:
        return dict(inside[address.key])
    if address.key is None and len(inside) == 1:
        return dict(next(iter(inside.values())))
    if not inside:
        raise SourceError(f"{address.location} holds no weights by name; save network.state_dict()")
    names = ", ".join(inside)
    raise SourceError(
        f"{address.location} holds several state dicts ({names}); name one: {address.location}:{next(iter(inside))}?factory=..."
    )


def _need_trust(address: Address, access: Access, why: str) -> None:
    if not access.trust:
        raise TrustRequired(f"{address.location} was not opened because {why}; if you trust its origin, add --trust")


def _built(address: Address, arguments: Mapping[str, str]) -> nn.Module:
    factory = address.options["factory"]
    make = imported(
        factory, said=f"{address}: factory={factory}", form="package.module:Class", example="factory=models.gan:Generator"
    )
    try:
        module = make(**{name: literal(value) for name, value in arguments.items()})
    except TypeError as error:
        known: list[str] = []
        with contextlib.suppress(TypeError, ValueError):  # some callables have no signature
            known = list(inspect.signature(make).parameters)
        unknown = [name for name in arguments if known and name not in known]
        way_out = suggestion(unknown[0], known, "it takes") if unknown else "give its arguments in the address, as in &hidden=128"
        raise SourceError(f"{address}: {factory} cannot be called with these options ({first_line(error)}); {way_out}") from error
    except Exception as error:  # the user's code
        raise SourceError(f"{address}: {factory} failed ({type(error).__name__}: {first_line(error)}); fix the factory") from error
    if not isinstance(module, nn.Module):
        raise SourceError(
            f"{address}: {factory} returned a {type(module).__name__}; name a class or function that makes a torch.nn.Module"
        )
    return module


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single value"


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _latent_shapes(network: nn.Module) -> tuple[tuple[int, ...], ...]:
    """Possible shapes of a network's latent, the most likely first, from an attribute such as ``latent_dim`` or the first layer."""
    named = (_sizes(getattr(network, name, None)) for name in (*_SHAPE_NAMES, *_SIZE_NAMES))
    size = next((shape for shape in named if shape), None) or _first_layer(network)
    return () if size is None else alternatives(size)


def alternatives(shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The shape of a latent and, for a vector, that of channels of one pixel, as transposed convolutions expect it."""
    if len(shape) == 1:
        return shape, (*shape, 1, 1)
    if len(shape) == 3 and shape[1:] == (1, 1):
        return shape, shape[:1]
    return (shape,)


def _sizes(value: Any) -> tuple[int, ...] | None:
    sizes = tuple(value) if isinstance(value, tuple | list) else (value,)
    return sizes if sizes and all(type(n) is int and n > 0 for n in sizes) else None


def _first_layer(network: nn.Module) -> tuple[int, ...] | None:
    """Input size of the first weight: its second axis in a linear layer, its first in a transposed convolution."""
    for module in network.modules():
        # A scripted layer has lost its class but keeps its name.
        name, weight = str(getattr(module, "original_name", type(module).__name__)), getattr(module, "weight", None)
        if not isinstance(weight, Tensor):
            continue
        if name == "Linear" or isinstance(module, nn.Linear):
            return (weight.shape[1],)
        if name.startswith("ConvTranspose") or isinstance(module, _TRANSPOSED):
            return (weight.shape[0], *(1 for _ in weight.shape[2:]))
    return None
