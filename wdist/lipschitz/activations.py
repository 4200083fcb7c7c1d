"""All activations by name. A new family is a file of its own and one line here."""

from collections.abc import Callable

from wdist.errors import UsageError
from wdist.lipschitz import elementwise
from wdist.lipschitz.activation import Activation
from wdist.lipschitz.group_sort import full_sort_activation, group_sort_activation
from wdist.lipschitz.householder import householder
from wdist.lipschitz.maxout import maxout

_PLAIN: dict[str, Callable[[], Activation]] = {
    "maxmin": lambda: group_sort_activation(2, name="maxmin"),
    "full-sort": full_sort_activation,
    "relu": elementwise.relu,
    "abs": elementwise.absolute_value,
    "householder": householder,
    "tanh": elementwise.tanh,
    "sigmoid": elementwise.sigmoid,
    "identity": elementwise.identity,
}
_GROUPED: dict[str, Callable[[int], Activation]] = {"group-sort": group_sort_activation, "maxout": maxout}

ACTIVATIONS = ("group-sort:K", "maxmin", "full-sort", "relu", "leaky-relu:0.1", "abs", "maxout:K", *list(_PLAIN)[4:])
"""As help texts list them; K is a number of units."""


def activation(name: str) -> Activation:
    """The activation of a name with its parameter, for example ``group-sort:16``, ``leaky-relu:0.1`` or ``abs``.

    Raises:
        UsageError: there is none of that name.
    """
    kind, _, parameter = name.partition(":")
    if name in _PLAIN:
        return _PLAIN[name]()
    if kind in _GROUPED and parameter.isdecimal() and parameter.isascii() and int(parameter) >= 1:
        return _GROUPED[kind](int(parameter))
    if kind == "leaky-relu" and (slope := _share(parameter)) is not None:
        return elementwise.leaky_relu(slope, name)
    raise UsageError(f"there is no activation {name!r}; choose {', '.join(ACTIVATIONS)}")


def _share(text: str) -> float | None:
    """A number in [0, 1], or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0 <= value <= 1 else None
