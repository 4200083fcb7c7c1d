"""Optimal transport between samples; the package itself can be called, as :func:`wdist.transport.solution.transport`."""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """The package and its function have one name, and importing a module of the package sets ``wdist.transport`` to the package."""

    def __call__(self, x: Any, y: Any, **options: Any) -> Any:
        from wdist.transport.solution import transport

        return transport(x, y, **options)


sys.modules[__name__].__class__ = _CallablePackage
