"""Constraints on weights by name. To add one, write a file for its layer and add the layer here."""

from wdist.errors import UsageError
from wdist.lipschitz.bjorck import OrthonormalLinear, UnrolledBjorckLinear
from wdist.lipschitz.cayley import CayleyLinear
from wdist.lipschitz.linear import ClippedLinear, LipschitzLinear, UnconstrainedLinear
from wdist.lipschitz.maximum_norm import MaximumNormLinear
from wdist.lipschitz.parseval import ParsevalLinear
from wdist.lipschitz.spectral import SpectralNormLinear

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
    """The linear layer with the named constraint.

    Raises:
        UsageError: the name is unknown.
    """
    if name not in CONSTRAINTS:
        raise UsageError(f"unknown constraint {name!r}; choose one of {', '.join(CONSTRAINTS)}")
    return CONSTRAINTS[name]
