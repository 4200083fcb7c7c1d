"""``wdist doctor``: checks that this machine has what wdist needs."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated

from wdist.cli import options as opt
from wdist.cli.outputs import OutputOptions, Outputs
from wdist.environment import package_version
from wdist.errors import ExitStatus

REQUIRED = (
    ("numpy", "numpy"),
    ("scipy", "scipy"),
    ("ot", "POT"),
    ("h5py", "h5py"),
    ("safetensors", "safetensors"),
    ("PIL", "pillow"),
    ("matplotlib", "matplotlib"),
    ("pydantic", "pydantic"),
)
_TABLES = "pip install 'wdist[tables]'"
OPTIONAL = (
    ("onnxruntime", "onnxruntime", "ONNX generators", "pip install 'wdist[onnx]'"),
    ("pyarrow", "pyarrow", "Parquet, Feather and Arrow tables", _TABLES),
    ("narwhals", "narwhals", "data frames", _TABLES),
    ("fsspec", "fsspec", "remote files", _TABLES),
    ("zstandard", "zstandard", ".zst files", _TABLES),
)


@dataclass(frozen=True, kw_only=True)
class MachineCheck:
    """One check of this machine."""

    what: str
    ok: bool
    needed: bool = True
    """Whether wdist cannot work without it."""
    found: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """State of this machine."""

    ok: bool
    """Whether nothing that wdist needs is missing or broken."""
    checks: tuple[MachineCheck, ...]


@opt.expanded
def command(outputs: Annotated[Outputs, OutputOptions("doctor")]) -> int:
    """Check this machine: Python, torch, devices, threads, memory and optional packages.

    Exit status 2 if something that wdist needs is missing or broken.
    """
    outputs.check()
    checks = tuple(_checks())
    diagnosis = Diagnosis(ok=all(check.ok for check in checks if check.needed), checks=checks)
    return outputs.deliver(diagnosis, status=ExitStatus.DONE if diagnosis.ok else ExitStatus.BAD_INPUT)


def _checks() -> Iterator[MachineCheck]:
    yield MachineCheck(what="wdist", ok=True, found=package_version())
    yield MachineCheck(what="python", ok=sys.version_info >= (3, 11), found=f"{platform.python_version()} ({sys.executable})")
    yield MachineCheck(what="platform", ok=True, found=platform.platform())
    torch = _checked("torch", _torch, "cannot be imported ({error}); reinstall it: pip install torch")
    yield torch
    if torch.ok:
        yield MachineCheck(what="device", ok=True, found=_devices(), needed=False)
        remedy = f"only torchvision: addresses need it; install the version made for torch {_version('torch')}"
        yield _checked("torchvision", _torchvision, f"cannot be imported ({{error}}); {remedy}", needed=False)
    yield _checked("memory", _memory, "cannot be measured ({error}); pip install psutil")
    for module, package in REQUIRED:
        remedy = f"cannot be imported ({{error}}); pip install --upgrade {package}"
        yield _checked(package, partial(_import, module, package), remedy)
    for module, package, purpose, remedy in OPTIONAL:
        found = partial(_import, module, package, f", for {purpose}")
        yield _checked(package, found, f"not installed; needed only for {purpose}: {remedy}", needed=False)


def _checked(what: str, find: Callable[[], str], problem: str, *, needed: bool = True) -> MachineCheck:
    """Checks that something can be found, whatever error that raises, as packages built for another machine do."""
    try:
        return MachineCheck(what=what, ok=True, found=find(), needed=needed)
    except Exception as error:
        said = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        return MachineCheck(what=what, ok=False, found=problem.format(error=said), needed=needed)


def _import(module: str, package: str, remark: str = "") -> str:
    import_module(module)
    return _version(package) + remark


def _torch() -> str:
    import torch

    return f"{torch.__version__}, threads: {torch.get_num_threads()}, cores: {os.cpu_count()}"


def _devices() -> str:
    import torch

    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return ", ".join(names) or "cpu; no CUDA device is visible"


def _torchvision() -> str:
    from wdist.data.sources.torchvision_dataset import import_torchvision

    import_torchvision()
    return _version("torchvision")


def _memory() -> str:
    from wdist.data.memory import free_memory, planned_memory, size_text

    free = free_memory()
    return f"{size_text(free)} free; files above {size_text(min(free // 2, planned_memory()))} are streamed"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
