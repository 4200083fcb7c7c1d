"""Networks in files: weights with a factory that builds what they belong to, TorchScript, ``torch.export``, ONNX.

All but plain weights bring code, and a factory is code: nothing here runs before the user has said ``--trust``.
"""

import ast
import contextlib
import importlib
import importlib.util
import inspect
import sys
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from wdist.data.access import Access
from wdist.data.sources.address import Address, suggestion
from wdist.data.sources.latent import latent_shapes
from wdist.data.sources.tensor_files import is_torchscript, load_data
from wdist.errors import SourceError, TrustRequired


class Network(ABC):
    """A function from latents to samples, whatever it was stored as."""

    what: str
    """In words, for example ``TorchScript``."""
    latent_shapes: tuple[tuple[int, ...], ...]
    """Shapes that one latent may have, likeliest first; empty where the file does not say."""
    batch: int | None = None
    """The one batch size that it takes; None where it takes any."""

    @abstractmethod
    def run(self, z: Tensor) -> Any:
        """The output for latents of shape (n, \\*latent shape), on their device."""


class ModuleNetwork(Network):
    """A module of torch, in evaluation mode."""

    def __init__(self, module: nn.Module, what: str) -> None:
        self.what = what
        self.module = module.eval()
        self.latent_shapes = latent_shapes(module)

    def run(self, z: Tensor) -> Any:
        return self.module.to(z.device)(z)


class ExportedNetwork(Network):
    """A program of ``torch.export``, which fixes mode, device and perhaps batch size when it is made."""

    what = "torch.export"

    def __init__(self, program: torch.export.ExportedProgram, name: str) -> None:
        inputs = set(program.graph_signature.user_inputs)
        shapes = [tuple(node.meta["val"].shape) for node in program.graph.nodes if node.op == "placeholder" and node.name in inputs]
        if len(shapes) != 1 or len(shapes[0]) < 2:
            raise SourceError(
                f"{name} takes {len(shapes)} inputs, not one batch of latents; export a network of one input (n, size)"
            )
        self.batch = shapes[0][0] if isinstance(shapes[0][0], int) else None
        self.latent_shapes = (tuple(int(n) for n in shapes[0][1:]),)
        self._program = program
        self._modules: dict[torch.device, nn.Module] = {}

    def run(self, z: Tensor) -> Any:
        if z.device not in self._modules:
            from torch.export.passes import move_to_device_pass

            self._modules[z.device] = move_to_device_pass(self._program, z.device).module()
        return self._modules[z.device](z)


class OnnxNetwork(Network):
    """An ONNX graph, run by onnxruntime on the CPU."""

    what = "ONNX"

    def __init__(self, session: Any, name: str) -> None:
        inputs = session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) < 2:
            raise SourceError(
                f"{name} takes {len(inputs)} inputs, not one batch of latents; export a network of one input (n, size)"
            )
        batch, *shape = inputs[0].shape
        self.batch = batch if isinstance(batch, int) and batch > 0 else None
        self.latent_shapes = (tuple(shape),) if all(isinstance(n, int) and n > 0 for n in shape) else ()
        self._session = session
        self._input = inputs[0].name
        self._type = {"tensor(double)": np.float64, "tensor(float16)": np.float16}.get(inputs[0].type, np.float32)

    def run(self, z: Tensor) -> Any:
        output = self._session.run(None, {self._input: z.cpu().numpy().astype(self._type)})[0]
        return torch.from_numpy(np.array(output)).to(z.device)


def open_network(address: Address, access: Access, arguments: Mapping[str, str]) -> Network:
    """The network that an address names.

    Arguments:
        arguments: what the factory is called with, as text.

    Raises:
        TrustRequired: opening it would run code and the user has not allowed that.
        SourceError: it cannot be opened, or weights and network do not fit each other.
    """
    if "factory" in address.options:
        if address.options["factory"] not in OWN_FACTORIES:
            _need_trust(address, access, f"the factory {address.options['factory']} is code that would be imported and run")
        weights = load_weights(address)
        module = _built(address, arguments)
        _load(module, weights, address)
        return ModuleNetwork(module, f"weights of {address.options['factory']}")
    if arguments:
        option = next(iter(arguments))
        raise SourceError(f"{address}: {address.bare} has no option {option!r}; arguments belong to a factory=package.module:Class")
    if address.suffix == ".onnx":
        _need_trust(address, access, "an ONNX file can bring operators of its own")
        return OnnxNetwork(_onnx_session(address), address.location)
    if address.suffix == ".pt2":
        _need_trust(address, access, "a torch.export file holds a program")
        try:
            return ExportedNetwork(torch.export.load(address.path), address.location)
        except SourceError:
            raise
        except Exception as error:  # whatever the unpacking of a damaged program meets
            raise SourceError(
                f"{address.location} is no readable torch.export file ({first_line(error)}); export it again"
            ) from error
    if not is_torchscript(address.path):
        raise SourceError(f"{address.location} is no TorchScript archive; save the network again with torch.jit.save")
    _need_trust(address, access, "a TorchScript file holds a program")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return ModuleNetwork(torch.jit.load(address.path, map_location="cpu"), "TorchScript")
    except (RuntimeError, ValueError) as error:
        raise SourceError(f"{address.location} is no readable TorchScript archive ({first_line(error)}); save it again") from error


def load_weights(address: Address) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` or ``.pt`` file by name, without those around them; nothing is executed.

    A checkpoint that holds the weights beside other things (optimiser, epoch) is searched for the one entry that is a state dict; a
    key behind the path says which where there are several. The prefix ``module.`` of data-parallel training is taken off.

    Raises:
        SourceError: the file is damaged or holds no weights.
    """
    if address.suffix == ".safetensors":
        try:
            weights = load_file(address.path)
        except (SafetensorError, OSError) as error:
            raise SourceError(
                f"{address.location} is damaged, cut short, or no safetensors file ({error}); save it again"
            ) from error
        prefix = "" if address.key is None else f"{address.key.rstrip('.')}."
        weights = {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
        if not weights:
            raise SourceError(f"{address.location} holds no tensors under {address.key!r}; see what it holds with wdist inspect")
    elif address.suffix in (".pt", ".pth"):
        if is_torchscript(address.path):
            raise SourceError(f"{address.location} is a TorchScript archive with its own program; leave out factory=")
        weights = _state_dict(load_data(address.path, address.location), address)
    else:
        raise SourceError(f"{address.location} cannot hold weights for a factory; give a .safetensors or .pt file")
    parallel = all(name.startswith("module.") for name in weights)
    return {name.removeprefix("module.") if parallel else name: value for name, value in weights.items()}


def is_state_dict(value: Any) -> bool:
    """Whether a value maps names to tensors."""
    return (
        isinstance(value, Mapping) and bool(value) and all(isinstance(v, Tensor) and isinstance(k, str) for k, v in value.items())
    )


def first_line(error: BaseException) -> str:
    """The first line of an error's message, without its full stop."""
    return str(error).strip().splitlines()[0].rstrip(".") if str(error).strip() else type(error).__name__


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
        raise TrustRequired(f"{address.location} was not opened: {why}; if you trust where it comes from, say --trust")


def _built(address: Address, arguments: Mapping[str, str]) -> nn.Module:
    factory = address.options["factory"]
    make = imported(
        factory, said=f"{address}: factory={factory}", form="package.module:Class", example="factory=models.gan:Generator"
    )
    try:
        module = make(**{name: literal(value) for name, value in arguments.items()})
    except TypeError as error:
        known = _parameters(make)
        unknown = [name for name in arguments if known and name not in known]
        way_out = suggestion(unknown[0], known, "it takes") if unknown else "give its arguments in the address, as in &hidden=128"
        raise SourceError(f"{address}: {factory} cannot be called with these options ({first_line(error)}); {way_out}") from error
    except Exception as error:  # the user's code
        raise SourceError(f"{address}: {factory} failed ({type(error).__name__}: {first_line(error)}); mend the factory") from error
    if not isinstance(module, nn.Module):
        raise SourceError(
            f"{address}: {factory} made a {type(module).__name__}; name a class or function that makes a torch.nn.Module"
        )
    return module


def imported(text: str, *, said: str, form: str, example: str) -> Any:
    """The class or function of ``module:name`` or ``file.py:name``; what it stands in is imported, so code runs.

    Arguments:
        text: of that form; modules of the present folder are found.
        said: how an error begins.
        form, example: of the text, for an error.

    Raises:
        SourceError: it cannot be imported, or is not there.
    """
    place, colon, name = text.rpartition(":")
    if not colon or not place or not name:
        raise SourceError(f"{said} is not {form}; write for example {example}")
    try:
        with _importable(Path.cwd()):
            module = _module_of_file(Path(place).expanduser()) if place.endswith(".py") else importlib.import_module(place)
    except ModuleNotFoundError as error:
        raise SourceError(
            f"{said}: {place} cannot be imported ({error}); run wdist in the folder that holds it, or install the package"
        ) from error
    except Exception as error:  # the user's code
        raise SourceError(
            f"{said}: importing {place} failed ({type(error).__name__}: {first_line(error)}); mend the module"
        ) from error
    found: Any = module
    for part in name.split("."):
        if not hasattr(found, part):
            public = [attribute for attribute in vars(module) if not attribute.startswith("_")]
            raise SourceError(f"{said}: {place} has no {name!r}; {suggestion(name, public, 'it has')}")
        found = getattr(found, part)
    if not callable(found):
        raise SourceError(f"{said}: {text} is no class or function; name what can be called")
    return found


@contextlib.contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Modules of a folder can be imported, and the search path is as before afterwards."""
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
        raise ModuleNotFoundError(f"no file {path}")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def _parameters(make: Any) -> list[str]:
    try:
        return list(inspect.signature(make).parameters)
    except (TypeError, ValueError):
        return []


def literal(text: str) -> Any:
    """A Python literal, ``true`` / ``false`` / ``none`` among them, else the text itself."""
    if text.lower() in ("true", "false", "none"):
        return {"true": True, "false": False, "none": None}[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def _load(module: nn.Module, weights: dict[str, Tensor], address: Address) -> None:
    try:
        keys = module.load_state_dict(weights, strict=False)
    except RuntimeError as error:
        there = {name: tuple(value.shape) for name, value in module.state_dict().items()}
        wrong = [name for name, value in weights.items() if name in there and there[name] != tuple(value.shape)]
        sizes = f"{wrong[0]} is {_by(weights[wrong[0]].shape)} in the file and {_by(there[wrong[0]])} there" if wrong else None
        what = sizes or first_line(error)
        raise SourceError(f"{address.bare} does not fit {address.options['factory']} ({what}); correct its options") from error
    faults = [f"lacks {_some(keys.missing_keys)}"] if keys.missing_keys else []
    faults += [f"holds {_some(keys.unexpected_keys)} besides"] if keys.unexpected_keys else []
    if faults:
        raise SourceError(
            f"{address.bare} does not fit {address.options['factory']}: it {' and '.join(faults)}; "
            f"correct the factory or its options"
        )


def _by(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "a single value"


def _some(names: list[str]) -> str:
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")


def _onnx_session(address: Address) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise SourceError(f'{address.location} needs onnxruntime; install it: pip install "wdist[onnx]"') from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(str(address.path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has an exception class for every status code
        raise SourceError(f"{address.location} is no readable ONNX file ({first_line(error)}); export it again") from error


# MERGED sources.own_factories: Factories of this very package: code that is installed already, so that opening weights with one needs no ``--trust``.
#
# Only these exact names: ``wdist.some.module:anything`` could reach what a module has imported. Shadowing is no way in either: this
# package is imported by now, and its modules are looked up in its own folder.

OWN_FACTORIES = frozenset({"wdist.gan.generators:image_generator"})
