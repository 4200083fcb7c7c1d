"""Certified bounds for the Wasserstein-1 distance between two sample sets.

``wdist.estimate(x, y)`` takes tensors, arrays or addresses. The names below are imported on first use, so that ``import wdist``
costs nothing and ``wdist --help`` answers at once.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wdist.bounds.lipschitz.constant import LipschitzConstant
    from wdist.comparison.ranking import Comparison
    from wdist.critics.settings import CriticSettings
    from wdist.data.access import Access
    from wdist.dependences.dependence import Dependence
    from wdist.drifts.drift import Drift
    from wdist.errors import WdistError
    from wdist.estimation.result import Estimate
    from wdist.estimation.verification import Verification
    from wdist.gates.gate import GateResult
    from wdist.gates.sequential import UntilDecided
    from wdist.python.functions import (
        compare,
        dependence,
        drift,
        estimate,
        gate,
        lipschitz_constant,
        merge,
        open_source,
        robust,
        save_proof,
        transport,
        verify,
    )
    from wdist.python.metric import W1
    from wdist.robustness.robust import Robustness
    from wdist.training.budget import Budget
    from wdist.transport.solution import Transport

    __version__: str

__all__ = [
    "W1",
    "Access",
    "Budget",
    "Comparison",
    "CriticSettings",
    "Dependence",
    "Drift",
    "Estimate",
    "GateResult",
    "LipschitzConstant",
    "Robustness",
    "Transport",
    "UntilDecided",
    "Verification",
    "WdistError",
    "__version__",
    "compare",
    "dependence",
    "drift",
    "estimate",
    "gate",
    "lipschitz_constant",
    "merge",
    "open_source",
    "robust",
    "save_proof",
    "transport",
    "verify",
]

_HOME = {
    "W1": "wdist.python.metric",
    "Access": "wdist.data.access",
    "Budget": "wdist.training.budget",
    "Comparison": "wdist.comparison.ranking",
    "CriticSettings": "wdist.critics.settings",
    "Dependence": "wdist.dependences.dependence",
    "Drift": "wdist.drifts.drift",
    "Estimate": "wdist.estimation.result",
    "GateResult": "wdist.gates.gate",
    "Robustness": "wdist.robustness.robust",
    "LipschitzConstant": "wdist.bounds.lipschitz.constant",
    "Transport": "wdist.transport.solution",
    "UntilDecided": "wdist.gates.sequential",
    "Verification": "wdist.estimation.verification",
    "WdistError": "wdist.errors",
    **dict.fromkeys(
        (
            *("compare", "dependence", "drift", "estimate", "gate", "lipschitz_constant"),
            *("merge", "open_source", "robust", "save_proof", "transport", "verify"),
        ),
        "wdist.python.functions",
    ),
}


def __getattr__(name: str) -> Any:
    """Imports a public name from the module that defines it, on first use."""
    if name == "__version__":
        from wdist.environment import package_version

        return package_version()
    if name not in _HOME:
        raise AttributeError(f"module 'wdist' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
