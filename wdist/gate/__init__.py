"""Gates: verdicts on two sources.

``wdist.gate`` is the public function and also the name of this package, which the import system binds over it. The package is
therefore callable, and both are the same to a caller.
"""

import sys
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        from wdist.gate.gate import gate

        return gate(*arguments, **keywords)


sys.modules[__name__].__class__ = _CallablePackage
