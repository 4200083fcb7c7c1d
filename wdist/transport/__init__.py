"""Optimal transport between samples; the package itself can be called, as :func:`wdist.python.functions.transport`."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """The package and its function have one name, and importing a module of the package sets ``wdist.transport`` to the package."""

    def __call__(self, x: Any, y: Any, **options: Any) -> Any:
        # By name, because the package lies far below the function that has its name.
        return import_module("wdist.python.functions").transport(x, y, **options)


sys.modules[__name__].__class__ = _CallablePackage
