"""Optimal transport between samples; the package itself can be called, as :func:`wdist.python.functions.transport`."""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    """A package that can be called as its public function: importing a module of it sets ``wdist.transport`` to it."""

    def __call__(self, x: Any, y: Any, **options: Any) -> Any:
        # Imported by name, because this package must not depend on the layer above that defines the function.
        return import_module("wdist.python.functions").transport(x, y, **options)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles by name, as functions do, for pools of processes."""
        return import_module, (self.__name__,)


sys.modules[__name__].__class__ = _CallablePackage
