"""``wdist doctor``: checks that this machine has what wdist needs."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

from wdist.cli.expansion import expanded
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
OPTIONAL = (("onnxruntime", "onnxruntime", "ONNX generators", "pip install 'wdist[onnx]'"),)


@dataclass(frozen=True, kw_only=True)
class Check:
    """One line of the report."""

    what: str
    ok: bool
    needed: bool = True
    """wdist cannot work without it."""
    found: str


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """State of this machine."""

    ok: bool
    """Nothing that wdist needs is missing or broken."""
    checks: tuple[Check, ...]


@expanded
def command(outputs: Annotated[Outputs, OutputOptions("doctor")]) -> int:
    """Report on this machine: Python, torch, device, threads, memory, optional extras.

    Exit status 2 if something that wdist needs is missing or broken.
    """
    outputs.check()
    checks = tuple(_checks())
    diagnosis = Diagnosis(ok=all(check.ok for check in checks if check.needed), checks=checks)
    outputs.deliver(diagnosis)
    return ExitStatus.DONE if diagnosis.ok else ExitStatus.BAD_INPUT


def _checks() -> list[Check]:
    checks = [
        Check(what="wdist", ok=True, found=package_version()),
        Check(what="python", ok=sys.version_info >= (3, 11), found=f"{platform.python_version()} ({sys.executable})"),
        Check(what="platform", ok=True, found=platform.platform()),
        *_torch_checks(),
        _memory_check(),
    ]
    checks += [_import_check(module, package) for module, package in REQUIRED]
    checks += [_optional_check(*extra) for extra in OPTIONAL]
    return checks


def _torch_checks() -> list[Check]:
    try:
        import torch
    except Exception as error:
        return [Check(what="torch", ok=False, found=f"cannot be imported ({_short(error)}); reinstall it: pip install torch")]
    cuda = torch.cuda.is_available()
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())] if cuda else []
    return [
        Check(what="torch", ok=True, found=f"{torch.__version__}, threads: {torch.get_num_threads()}, cores: {os.cpu_count()}"),
        Check(what="device", ok=True, found=", ".join(devices) or "cpu; no CUDA device is visible", needed=False),
        _torchvision_check(),
    ]


def _torchvision_check() -> Check:
    try:
        from wdist.data.sources.torchvision_dataset import import_torchvision

        import_torchvision()
    except Exception as error:
        # A torchvision built for another torch raises all kinds of errors when it is imported.
        remedy = f"only torchvision: addresses need it; install the one made for torch {_version('torch')}"
        return Check(what="torchvision", ok=False, found=f"cannot be imported ({_short(error)}); {remedy}", needed=False)
    return Check(what="torchvision", ok=True, found=_version("torchvision"), needed=False)


def _memory_check() -> Check:
    try:
        from wdist.data.memory import free_memory, size_text
    except Exception as error:
        return Check(what="memory", ok=False, found=f"cannot be measured ({_short(error)}); pip install psutil")
    free = free_memory()
    return Check(what="memory", ok=True, found=f"{size_text(free)} free; files larger than half of that are streamed")


def _import_check(module: str, package: str) -> Check:
    try:
        import_module(module)
    except Exception as error:
        return Check(what=package, ok=False, found=f"cannot be imported ({_short(error)}); pip install --upgrade {package}")
    return Check(what=package, ok=True, found=_version(package))


def _optional_check(module: str, package: str, purpose: str, remedy: str) -> Check:
    try:
        import_module(module)
    except Exception:
        return Check(what=package, ok=False, found=f"not installed; needed only for {purpose}: {remedy}", needed=False)
    return Check(what=package, ok=True, found=f"{_version(package)}, for {purpose}", needed=False)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
