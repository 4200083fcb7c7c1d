"""All constraints on weights by name. A new one is a file of its own and one line here."""

from wdist.errors import UsageError
from wdist.lipschitz.bjorck import OrthonormalLinear
from wdist.lipschitz.bjorck_unrolled import UnrolledBjorckLinear
from wdist.lipschitz.cayley import CayleyLinear
from wdist.lipschitz.clip import ClippedLinear
from wdist.lipschitz.linear import LipschitzLinear
from wdist.lipschitz.maximum_norm import MaximumNormLinear
from wdist.lipschitz.parseval import ParsevalLinear
from wdist.lipschitz.spectral import SpectralNormLinear
from wdist.lipschitz.unconstrained import UnconstrainedLinear

CONSTRAINTS: dict[str, type[LipschitzLinear]] = {
    layer.constraint: layer
    for layer in (
        OrthonormalLinear,
        UnrolledBjorckLinear,
        SpectralNormLinear,
        ParsevalLinear,
        MaximumNormLinear,
        CayleyLinear,
        ClippedLinear,
        UnconstrainedLinear,
    )
}


def constraint(name: str) -> type[LipschitzLinear]:
    """The linear layer that keeps the constraint of a name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in CONSTRAINTS:
        raise UsageError(f"there is no constraint {name!r}; choose one of {', '.join(CONSTRAINTS)}")
    return CONSTRAINTS[name]
