"""``wdist doctor``: this machine, as far as it matters here."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass
from importlib import import_module

from wdist.cli import options as opt
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
    found: str
    needed: bool = True
    """Whether wdist cannot do its work without it."""


def command(json: opt.Json = False, debug: opt.Debug = False) -> int:
    """Report on this machine: Python, torch, device, threads, memory, optional extras.

    Exit status 2 when something that wdist needs is missing or broken.
    """
    from wdist.cli.console import result_console

    checks = _checks()
    if json:
        import json as json_format

        lines = [{"what": check.what, "ok": check.ok, "needed": check.needed, "found": check.found} for check in checks]
        document = {"schema_version": "1", "command": "doctor", "ok": _healthy(checks), "checks": lines}
        print(json_format.dumps(document, indent=2))
    else:
        from rich.table import Table
        from rich.text import Text

        table = Table.grid(padding=(0, 2))
        table.add_column(no_wrap=True)
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for check in checks:
            sign = (
                Text("ok", style="green")
                if check.ok
                else Text("NO" if check.needed else "no", style="red" if check.needed else "dim")
            )
            table.add_row(sign, check.what, Text(check.found))
        result_console().print(table)
    return ExitStatus.DONE if _healthy(checks) else ExitStatus.BAD_INPUT


def _healthy(checks: list[Check]) -> bool:
    return all(check.ok for check in checks if check.needed)


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
        from wdist.data.sources.torchvision_import import import_torchvision

        import_torchvision()
    except Exception as error:
        # One that was built for another torch raises all kinds of errors at its import.
        remedy = f"only torchvision: addresses need it; install the one made for torch {_version('torch')}"
        return Check(what="torchvision", ok=False, found=f"cannot be imported ({_short(error)}); {remedy}", needed=False)
    return Check(what="torchvision", ok=True, found=_version("torchvision"), needed=False)


def _memory_check() -> Check:
    try:
        from wdist.data.memory import free_memory, size_text
    except Exception as error:
        return Check(what="memory", ok=False, found=f"cannot be asked ({_short(error)}); pip install psutil")
    free = free_memory()
    return Check(what="memory", ok=True, found=f"{size_text(free)} free; larger files than half of that are streamed")


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
        return Check(what=package, ok=False, found=f"not there; only needed for {purpose}: {remedy}", needed=False)
    return Check(what=package, ok=True, found=f"{_version(package)}, for {purpose}", needed=False)


def _version(package: str) -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
