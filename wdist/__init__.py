"""Certified bounds for the Wasserstein-1 distance between two sample sets.

``wdist.estimate(x, y)`` takes tensors, arrays or addresses. The names below are imported when they are first used, so that
``import wdist`` costs nothing and ``wdist --help`` answers at once.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wdist.comparison import compare
    from wdist.critics.settings import CriticSettings
    from wdist.errors import WdistError
    from wdist.estimation import estimate
    from wdist.gating.gate import GateResult, gate
    from wdist.ranking import Comparison
    from wdist.result import Estimate
    from wdist.sources.opening import open_source
    from wdist.sources.source import Access
    from wdist.training.budget import Budget
    from wdist.verification import save_critic, verify

    __version__: str

__all__ = [
    "Access",
    "Budget",
    "Comparison",
    "CriticSettings",
    "Estimate",
    "GateResult",
    "WdistError",
    "__version__",
    "compare",
    "estimate",
    "gate",
    "open_source",
    "save_critic",
    "verify",
]

_HOME = {
    "Access": "wdist.sources.source",
    "Budget": "wdist.training.budget",
    "Comparison": "wdist.ranking",
    "CriticSettings": "wdist.critics.settings",
    "Estimate": "wdist.result",
    "GateResult": "wdist.gating.gate",
    "WdistError": "wdist.errors",
    "compare": "wdist.comparison",
    "estimate": "wdist.estimation",
    "gate": "wdist.gating.gate",
    "open_source": "wdist.sources.opening",
    "save_critic": "wdist.verification",
    "verify": "wdist.verification",
}


def __getattr__(name: str) -> Any:
    """Imports a public name from the module that defines it, on first use."""
    if name == "__version__":
        from wdist.version import package_version

        return package_version()
    if name not in _HOME:
        raise AttributeError(f"module 'wdist' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
